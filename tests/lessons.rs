//! The lessons: every command in them is run, in order, in a folder of its own that looks like the checkout, and what it prints is what
//! the page shows. `...` in a line stands for any characters, as a line of its own for any lines. Those that are marked `long` boot
//! Debian and are run by name, `cargo test --test lessons -- --ignored`, as CI does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command and what the page shows of its output.
struct Shown {
    command: String,
    output: Vec<String>,
}

fn shown(page: &str) -> Vec<Shown> {
    let (mut all, mut inside): (Vec<Shown>, bool) = (Vec::new(), false);
    for line in page.lines() {
        match (line, inside) {
            ("```console", false) => inside = true,
            ("```", true) => inside = false,
            (line, true) => match line.strip_prefix("$ ") {
                Some(command) => all.push(Shown { command: command.to_owned(), output: Vec::new() }),
                None => all.last_mut().unwrap().output.push(line.to_owned()),
            },
            _ => {}
        }
    }
    all
}

/// Whether `line` is what `pattern` shows, `...` being anything.
fn line_matches(pattern: &str, line: &str) -> bool {
    let parts: Vec<&str> = pattern.split("...").collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if parts.len() == 1 {
        return pattern.trim_end() == line.trim_end();
    }
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn lines_match(patterns: &[String], lines: &[&str]) -> bool {
    match patterns.split_first() {
        None => lines.is_empty(),
        Some((gap, rest)) if gap == "..." => {
            (0..=lines.len()).any(|skipped| lines_match(rest, &lines[skipped..]))
        }
        Some((pattern, rest)) => lines
            .split_first()
            .is_some_and(|(line, after)| line_matches(pattern, line) && lines_match(rest, after)),
    }
}

/// Words of a command line; quotes hold blanks together.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

/// What a page's comment says that boots Debian.
const LONG: &str = "<!-- long: ";

fn check(page: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["target", "tests", "traces"] {
        std::os::unix::fs::symlink(root.join(part), folder.path().join(part)).unwrap();
    }
    let all = shown(&std::fs::read_to_string(page).unwrap());
    assert!(!all.is_empty(), "{} has no command", page.display());
    for Shown { command, output } in all {
        let words = words(&command);
        let program = match words[0].as_str() {
            "glassbox" => env!("CARGO_BIN_EXE_glassbox"),
            "gcc" => "gcc",
            _ => panic!("{}: `{command}` is neither glassbox nor gcc", page.display()),
        };
        let run = Command::new(program).args(&words[1..]).current_dir(folder.path()).output();
        let run = run.unwrap();
        let text = String::from_utf8(run.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let errors = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{}: `{command}`: {errors}", page.display());
        assert!(lines_match(&output, &lines), "{}: `{command}` printed\n{text}{errors}", page.display());
    }
}

/// All pages, or those that are long, or those that are not.
fn pages(long: bool) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/lessons");
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|page| page.file_name().is_some_and(|name| name != "README.md"));
    pages.retain(|page| std::fs::read_to_string(page).unwrap().contains(LONG) == long);
    pages.sort();
    pages
}

#[test]
fn every_lesson_is_in_the_index() {
    let index = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/lessons/README.md");
    let index = std::fs::read_to_string(index).unwrap();
    let all = [pages(false), pages(true)].concat();
    assert_eq!(all.len(), 6);
    for page in all {
        let name = page.file_name().unwrap().to_string_lossy();
        assert!(index.contains(&*name), "{name} is not in the index");
    }
}

#[test]
fn every_lesson_prints_what_it_shows() {
    for page in pages(false) {
        check(&page);
    }
}

#[test]
#[ignore = "boots Debian"]
fn every_long_lesson_prints_what_it_shows() {
    for page in pages(true) {
        check(&page);
    }
}

#[test]
fn patterns_match_what_they_should() {
    let patterns = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(lines_match(&patterns("a ... c\n...\nend"), &["a b c", "x", "y", "end"]));
    assert!(lines_match(&patterns("...\nend"), &["end"]));
    assert!(!lines_match(&patterns("a\n...\nend"), &["a", "x"]));
    assert!(!line_matches("a...c", "a b"));
    assert_eq!(words("glassbox trace t --where 'a == 1'"), ["glassbox", "trace", "t", "--where", "a == 1"]);
}
