//! Looking into a stopped machine: every chip has a view, the views say what the run did, and looking changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use emu_core::{Bdf, Gpa, Iova};
use glassbox::machine::{Goal, Machine, Stop};
use glassbox::position::Position;
use glassbox::scenario::Scenario;
use glassbox::view::symbols::Symbols;
use glassbox::view::table::View;

fn at(scenario: &str, position: &str) -> Machine {
    let mut scenario = Scenario::load(scenario).unwrap();
    scenario.prepare(|_| ()).unwrap();
    let mut machine = Machine::new(scenario).unwrap();
    let goal = Goal { position: Some(position.parse::<Position>().unwrap()), ..Goal::default() };
    assert_eq!(machine.run(&goal), Stop::Reached);
    machine
}

fn views(machine: &Machine) -> Vec<(&'static str, View)> {
    vec![
        ("cpu", machine.show_cpu_with(&Symbols::default())),
        ("apic", machine.show_apic()),
        ("ioapic", machine.show_ioapic()),
        ("pci", machine.show_pci()),
        ("e1000", machine.show_e1000()),
        ("iommu", machine.show_iommu()),
        ("pic", machine.show_pic()),
        ("pit", machine.show_pit()),
        ("rtc", machine.show_rtc()),
        ("uart", machine.show_uart()),
        ("acpi", machine.show_acpi()),
        ("kbc", machine.show_kbc()),
        ("events", machine.show_events()),
        ("memory", machine.show_memory(Gpa(0x20_0000), 64)),
        ("walk", machine.show_walk(Bdf::new(0, 2, 0), Iova(0xffff_d000))),
    ]
}

#[test]
fn every_chip_has_a_view_with_rows_as_text_and_as_json() {
    let machine = at("demo", "packet=3");
    let before = machine.state_hash();
    for (name, view) in views(&machine) {
        let text = view.to_string();
        assert!(text.lines().count() >= 3, "{name}:\n{text}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{name}: blanks at the end of a line");
        let json = view.to_json();
        let sections = json.as_array().unwrap();
        let rows: usize = sections.iter().map(|section| section["rows"].as_array().unwrap().len()).sum();
        assert!(rows >= 1 && sections.iter().all(|section| section["title"].is_string()), "{name}: {json:#}");
    }
    assert_eq!(machine.state_hash(), before, "looking changed something");
}

#[test]
fn views_speak_of_what_the_run_did() {
    let machine = at("demo", "packet=3");
    for (view, words) in [
        (machine.show_events(), "wire0"),
        (machine.show_iommu(), "present, vector 0x50, fixed, level"),
        (machine.show_cpu_with(&Symbols::default()), "LME LMA"),
        (machine.show_e1000(), "receive ring, from its head on"),
        (machine.show_walk(Bdf::new(0, 2, 0), Iova(0xffff_d000)), "IOTLB: the same"),
    ] {
        assert!(view.to_string().contains(words), "`{words}` is missing:\n{view}");
    }
    let beyond = machine.show_memory(Gpa(0xfff_ffff_f000), 16);
    assert!(beyond.to_string().contains("no memory"));
}

#[test]
#[ignore = "boots Debian, whose packages come from the host's apt"]
fn a_running_linux_names_its_own_functions() {
    let machine = at("debian", "serial=glassbox: ready");
    let symbols = machine.symbols();
    assert!(symbols.len() > 50_000, "only {} symbols", symbols.len());
    let entry = symbols.address("asm_sysvec_apic_timer_interrupt").unwrap();
    assert_eq!(machine.handler_of(0xec), Some(entry), "its table of handlers agrees");
    assert!(symbols.name(machine.rip()).is_some(), "{:#x}", machine.rip());
}
