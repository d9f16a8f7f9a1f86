//! x87 functions against `reference.txt`, bit by bit: their results are the true ones rounded once, on every host.

use crate::area::{AREA_LEN, Area, Program, get, put};
use crate::guest::Guest;
use crate::x87::{CONTROL, STACK, STATUS, TAGS, program};

/// Results to nearest, down, up, to zero: the order of rounding control.
const ROUNDINGS: usize = 4;

struct Line {
    function: String,
    y: u128,
    x: u128,
    results: [u128; ROUNDINGS],
}

fn lines() -> Vec<Line> {
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        let function = fields.next().expect("a function").to_owned();
        let mut number = || u128::from_str_radix(fields.next().expect("a field"), 16).expect("hexadecimal");
        Line { function, y: number(), x: number(), results: std::array::from_fn(|_| number()) }
    };
    include_str!("reference.txt").lines().map(parse).collect()
}

/// Functions, their encodings, and where the result is afterwards.
const FUNCTIONS: [(&str, [u8; 2], usize); 9] = [
    ("f2xm1", [0xd9, 0xf0], 0),
    ("fyl2x", [0xd9, 0xf1], 0),
    ("fyl2xp1", [0xd9, 0xf9], 0),
    ("fpatan", [0xd9, 0xf3], 0),
    ("fsin", [0xd9, 0xfe], 0),
    ("fcos", [0xd9, 0xff], 0),
    ("fptan", [0xd9, 0xf2], 1),
    // FSINCOS gives what FSIN and FCOS do.
    ("fsin", [0xd9, 0xfb], 1),
    ("fcos", [0xd9, 0xfb], 0),
];

/// ST(1) and ST(0) full, everything masked.
fn before(line: &Line, rounding: usize) -> Area {
    let mut area = [0; AREA_LEN];
    put::<2>(&mut area, CONTROL, 0x37f | (rounding as u128) << 10);
    put::<2>(&mut area, STATUS, 6 << 11);
    put::<2>(&mut area, TAGS, 0x0fff);
    put::<10>(&mut area, STACK, line.x);
    put::<10>(&mut area, STACK + 10, line.y);
    area
}

#[test]
fn functions_are_rounded_once_from_their_true_values() {
    const C1: u128 = 1 << 9;
    const INEXACT: u128 = 1 << 5;
    let programs: Vec<Program> =
        FUNCTIONS.iter().map(|(_, bytes, _)| program(bytes).expect("an instruction")).collect();
    let mut guest = Guest::new(&programs);
    let lines = lines();
    assert!(lines.len() > 400, "the reference is there");
    for (which, (name, _, place)) in FUNCTIONS.iter().enumerate() {
        let mut tried = 0;
        for line in lines.iter().filter(|line| line.function == *name) {
            for (rounding, want) in line.results.into_iter().enumerate() {
                let mut area = before(line, rounding);
                guest.run(which, &mut area);
                let got = get::<10>(&area, STACK + 10 * place);
                let program = &programs[which].name;
                assert_eq!(
                    got, want,
                    "{program} of {:020x}, {:020x}: {got:020x}, not {want:020x}",
                    line.y, line.x
                );
                // Of two results C1 tells about the last one that is computed, the cosine.
                let last = place == &0 || *name == "fptan";
                let up = want & !(1 << 79) > line.results[3] & !(1 << 79);
                let status = get::<2>(&area, STATUS);
                assert!(status & INEXACT != 0, "{program} is inexact");
                assert!(
                    !last || (status & C1 != 0) == up,
                    "{program} of {:020x}, {:020x}: C1",
                    line.y,
                    line.x
                );
                tried += 1;
            }
        }
        assert!(tried > 200, "{name} is in the reference");
    }
}
