//! Every rule of the suite, read from its sources: named once, by a section that is known, and counted in README.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The sections that rules are named by, in the specification's order.
const SECTIONS: [(&str, &str); 69] = [
    ("3.4.1", "Source identifier"),
    ("3.4.2", "Legacy mode address translation"),
    ("3.7", "Second-level translation"),
    ("3.7.1", "Translation faults"),
    ("3.7.2", "Access rights"),
    ("3.14", "Requests to the interrupt address range"),
    ("5.1.2.1", "Interrupt requests in compatibility format"),
    ("5.1.2.2", "Interrupt requests in remappable format"),
    ("5.1.3", "Interrupt remapping table"),
    ("5.1.4.1", "Interrupt remapping fault conditions"),
    ("5.2.1", "Interrupt remapping table support for interrupt posting"),
    ("5.2.2", "Posted interrupt descriptor"),
    ("5.2.3", "Interrupt posting, hardware operation"),
    ("6.1", "Caching mode"),
    ("6.2.2", "Context cache"),
    ("6.2.4", "IOTLB"),
    ("6.4", "Interrupt entry cache"),
    ("6.5.1.1", "Context command register"),
    ("6.5.1.2", "IOTLB registers"),
    ("6.5.2", "Queued invalidation interface"),
    ("6.5.2.1", "Context-cache invalidate descriptor"),
    ("6.5.2.3", "IOTLB invalidate descriptor"),
    ("6.5.2.7", "Interrupt entry cache invalidate descriptor"),
    ("6.5.2.8", "Invalidation wait descriptor"),
    ("6.5.2.9", "Invalidation completion events"),
    ("6.5.2.10", "Queue errors"),
    ("6.5.2.11", "Queue ordering"),
    ("7.1", "Translation and interrupt faults"),
    ("7.2.1", "Primary fault logging"),
    ("7.3", "Fault events"),
    ("9.1", "Root entry"),
    ("9.3", "Context entry"),
    ("9.8", "Second-level paging entries"),
    ("9.9", "Fault record"),
    ("9.10", "Interrupt remapping table entry, remapped"),
    ("9.11", "Interrupt remapping table entry, posted"),
    ("9.12", "Posted interrupt descriptor, format"),
    ("10.2", "Software access to registers"),
    ("10.4.1", "Version"),
    ("10.4.2", "Capability"),
    ("10.4.3", "Extended capability"),
    ("10.4.4", "Global command"),
    ("10.4.5", "Global status"),
    ("10.4.6", "Root table address"),
    ("10.4.7", "Context command"),
    ("10.4.8.1", "IOTLB invalidate"),
    ("10.4.8.2", "Invalidate address"),
    ("10.4.9", "Fault status"),
    ("10.4.10", "Fault event control"),
    ("10.4.11", "Fault event data"),
    ("10.4.12", "Fault event address"),
    ("10.4.13", "Fault event upper address"),
    ("10.4.14", "Fault recording"),
    ("10.4.15", "Advanced fault log"),
    ("10.4.16", "Protected memory enable"),
    ("10.4.17", "Protected low memory base"),
    ("10.4.18", "Protected low memory limit"),
    ("10.4.19", "Protected high memory base"),
    ("10.4.20", "Protected high memory limit"),
    ("10.4.21", "Invalidation queue head"),
    ("10.4.22", "Invalidation queue tail"),
    ("10.4.23", "Invalidation queue address"),
    ("10.4.24", "Invalidation completion status"),
    ("10.4.25", "Invalidation event control"),
    ("10.4.26", "Invalidation event data"),
    ("10.4.27", "Invalidation event address"),
    ("10.4.28", "Invalidation event upper address"),
    ("10.4.29", "Invalidation queue error record"),
    ("10.4.30", "Interrupt remapping table address"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Section and name of each `rule!`, wherever its line was broken.
fn rules() -> Vec<(String, String)> {
    let mut rules = Vec::new();
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("list.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for call in text.split("\nrule!(").skip(1) {
            let mut parts = call.splitn(3, ',').map(str::trim);
            let section = parts.next().unwrap().trim_matches('"').to_owned();
            rules.push((section, parts.next().unwrap().to_owned()));
        }
    }
    rules.sort();
    rules
}

/// What README.md should say.
fn readme(rules: &[(String, String)]) -> String {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (section, _) in rules {
        *counts.entry(section).or_default() += 1;
    }
    let mut text = String::from(HEAD);
    for (section, title) in SECTIONS {
        let count = counts.remove(section).unwrap_or(0);
        writeln!(text, "| {section} | {title} | {count} |").unwrap();
    }
    assert!(counts.is_empty(), "sections without a title: {counts:?}");
    writeln!(text, "| | **all** | **{}** |", rules.len()).unwrap();
    text
}

const HEAD: &str = "\
# Rules of VT-d

What the unit is held to: one test a rule, named by the section of the Intel Virtualization Technology for Directed I/O
Architecture Specification, revision 3.0 (June 2019), and by what it says. From revision 3.3 on chapter 10 is 11.
`cargo test -p emu-iommu --test conformance` runs them; with `-- --list` it names them.

A test compares this table with the sources; `UPDATE_README=1 cargo test -p emu-iommu --test conformance readme` writes it.

| section | | rules |
|---|---|---|
";

#[test]
fn rules_are_named_once_and_are_many() {
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names.len(), rules.len());
    assert!(rules.len() >= 250, "{} rules", rules.len());
}

#[test]
fn every_section_has_rules() {
    let rules = rules();
    for (section, title) in SECTIONS {
        assert!(rules.iter().any(|(of, _)| of == section), "{section} {title}");
    }
}

#[test]
fn the_readme_counts_the_rules() {
    let (path, expected) = (folder().join("README.md"), readme(&rules()));
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}
