//! Every field of every part is in a snapshot, and a snapshot that says something impossible is refused.

use super::diff::fields;
use super::*;
use crate::machine::{Goal, Stop};

fn demo_at(position: &str) -> Machine {
    let mut machine = Machine::new(Scenario::load("demo").unwrap()).unwrap();
    let goal = Goal { position: Some(position.parse().unwrap()), ..Goal::default() };
    assert_eq!(machine.run(&goal), Stop::Reached);
    machine
}

/// Parts as RON, with lists that are only long cut short: their items have the same fields.
fn text_of(machine: &Machine) -> String {
    let mut parts = machine.parts();
    parts.cpu.tlb.data.truncate(2);
    parts.cpu.tlb.code.truncate(2);
    ron::to_string(&parts).unwrap()
}

/// A leaf in a RON text: where it is, and what else could stand there.
struct Leaf {
    start: usize,
    end: usize,
    other: String,
}

/// Numbers, booleans and absent things, outside of names and strings.
fn leaves_in(text: &str) -> Vec<Leaf> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at += 1 + text[at + 1..].find('"').unwrap() + 1;
                found.push(Leaf { start, end: at, other: "\"another\"".to_owned() });
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_') {
                    at += 1;
                }
                let other = match &text[start..at] {
                    "true" => "false",
                    "false" => "true",
                    _ => continue,
                };
                found.push(Leaf { start, end: at, other: other.to_owned() });
            }
            byte if byte.is_ascii_digit() || byte == b'-' => {
                at += 1;
                while at < bytes.len() && bytes[at].is_ascii_digit() {
                    at += 1;
                }
                let value: i128 = text[start..at].parse().unwrap();
                let other = if value == 0 { 1 } else { value - 1 };
                found.push(Leaf { start, end: at, other: other.to_string() });
            }
            _ => at += 1,
        }
    }
    found
}

/// A change of any one leaf is seen, and what names it is one path. What is written is all that there is: the machine is taken
/// apart by name where parts are taken ([`Machine::parts`]), and chips take apart their own.
#[test]
fn every_leaf_of_the_state_is_told_by_name() {
    let machine = demo_at("packet=5");
    let text = text_of(&machine);
    let parts: Parts = ron::from_str(&text).unwrap();
    let leaves = leaves_in(&text);
    assert!(leaves.len() > 1000, "only {} leaves", leaves.len());
    let mut paths = std::collections::BTreeSet::new();
    for Leaf { start, end, other } in &leaves {
        let altered = format!("{}{other}{}", &text[..*start], &text[*end..]);
        let near = &text[start.saturating_sub(40)..(end + 20).min(text.len())];
        let changed: Parts = ron::from_str(&altered).unwrap_or_else(|error| panic!("{error}: {near}"));
        let found = fields("", &parts, &changed);
        // A key of a map is in the path of all that lies below it.
        assert!(!found.is_empty(), "{near}: nobody noticed");
        let is_key = found.iter().any(|field| field.path.starts_with("events.pending["));
        assert!(found.len() == 1 || is_key, "{near}: {found:?}");
        paths.insert(found[0].path.clone());
    }
    for part in ["cpu.gprs[15]", "nic.regs.rctl", "iommus[0].iotlb", "lapics[0]", "rtc", "network"] {
        assert!(paths.iter().any(|path| path.starts_with(part)), "nothing of {part}");
    }
}

/// What is restored is what was saved: no part keeps anything to itself.
#[test]
fn what_a_part_is_given_it_gives_back() {
    for position in ["insns=0", "insns=90000", "packet=2", "time=60ms"] {
        let mut machine = demo_at(position);
        let (parts, watched) = (machine.parts(), machine.watched());
        let mut other = demo_at("packet=7");
        other.restore_parts(parts.clone(), Ram::Another).unwrap();
        other.restore_watched(watched.clone());
        assert_eq!(fields("", &other.parts(), &parts), [], "{position}");
        assert_eq!(other.watched(), watched);
        machine.run(&Goal::default());
        let ended = machine.watched();
        assert!(ended.stop.is_some());
        other.restore_watched(ended.clone());
        assert_eq!(other.run(&Goal::default()), ended.stop.unwrap());
    }
}

/// Whatever a text says that is well-formed and has the right checksum is taken or refused, and a machine that takes it runs.
#[test]
fn any_number_in_a_state_is_taken_or_refused() {
    let text = text_of(&demo_at("packet=5"));
    let mut machine = demo_at("packet=5");
    let mut refused = 0;
    for Leaf { start, end, .. } in leaves_in(&text) {
        for other in ["0", "255", "65535", "4294967295", "18446744073709551615"] {
            let altered = format!("{}{other}{}", &text[..start], &text[end..]);
            let Ok(parts) = ron::from_str::<Parts>(&altered) else { continue };
            match machine.restore_parts(parts, Ram::Another) {
                Ok(()) => {
                    machine.platform.stop = None;
                    let goal = Goal { slice: Some(50), max_insns: Some(u64::MAX), ..Goal::default() };
                    machine.run(&goal);
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "only {refused} refused");
}
