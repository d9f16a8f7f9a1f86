//! The machine beside its peers: the same kernel, RAM disk and workloads on each, in turn, and the processor time that each takes between
//! marked lines of the console. `cargo bench --bench peers`; needs gcc, and qemu-system-x86_64 for company.
//!
//! Times alone say little, and less on a busy host: what counts are ratios of medians over rounds that were run one after the other.
//! `PEERS_ROUNDS` sets how many (5). The table goes to the terminal, all figures to `target/peers.json`.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use glassbox::guests::{Recipe, debian};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/workloads.c");
const APPEND: &str = "console=ttyS0 intel_iommu=on quiet glassbox.run=/bin/workloads";
const ROUNDS: usize = 5;
/// What comes before the first workload.
const BOOT: &str = "boot";

/// Who runs the guest.
struct Peer {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

/// The first is what the others are compared with.
const PEERS: [Peer; 3] = [
    Peer { name: "glassbox", program: env!("CARGO_BIN_EXE_glassbox"), arguments: &["run", "-m", "512M"] },
    Peer {
        name: "qemu",
        program: "qemu-system-x86_64",
        arguments: &[
            "-accel",
            "tcg",
            "-machine",
            "q35,kernel-irqchip=off",
            "-device",
            "intel-iommu,intremap=on",
            "-m",
            "512",
            "-device",
            "e1000",
            "-nographic",
            "-no-reboot",
        ],
    },
    Peer {
        name: "qemu icount",
        program: "qemu-system-x86_64",
        arguments: &[
            "-accel",
            "tcg",
            "-icount",
            "shift=0,sleep=off",
            "-machine",
            "q35,kernel-irqchip=off",
            "-device",
            "intel-iommu,intremap=on",
            "-m",
            "512",
            "-device",
            "e1000",
            "-nographic",
            "-no-reboot",
        ],
    },
];

impl Peer {
    fn is_there(&self) -> bool {
        let output = Command::new(self.program).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    }

    fn start(&self, guest: &Guest) -> std::io::Result<Child> {
        let dashes = if self.name == "glassbox" { "--" } else { "-" };
        Command::new(self.program)
            .args(self.arguments)
            .arg(format!("{dashes}kernel"))
            .arg(&guest.kernel)
            .arg(format!("{dashes}initrd"))
            .arg(&guest.initrd)
            .arg(format!("{dashes}append"))
            .arg(APPEND)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }

    /// Seconds of processor time by workload.
    fn run(&self, guest: &Guest) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
        let mut child = self.start(guest)?;
        let output = child.stdout.take().ok_or("no output")?;
        let mut taken = BTreeMap::new();
        let mut begun = 0.0;
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            let now = || processor_time(child.id());
            if line.contains("@begin ") {
                begun = now()?;
                taken.entry(BOOT.to_owned()).or_insert(begun);
            } else if let Some((_, name)) = line.split_once("@end ") {
                taken.insert(name.trim().to_owned(), now()? - begun);
            }
        }
        let status = child.wait()?;
        if taken.len() < 2 {
            return Err(format!("{}: no workload ran; {status}", self.name).into());
        }
        Ok(taken)
    }
}

/// Seconds that a process has computed so far, in all its threads, for itself and in the kernel (proc_pid_stat(5)).
fn processor_time(process: u32) -> Result<f64, Box<dyn Error>> {
    const TICKS_A_SECOND: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold anything but ends with the last parenthesis; utime and stime are fields 14 and 15.
    let (_, fields) = text.rsplit_once(')').ok_or("stat without a name")?;
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_A_SECOND)
}

/// What all of them run.
struct Guest {
    kernel: PathBuf,
    initrd: PathBuf,
}

/// Debian's kernel with the workloads in its RAM disk.
fn guest(folder: &Path) -> Result<Guest, Box<dyn Error>> {
    let program = folder.join("workloads");
    let compiled = Command::new("gcc").args(["-O2", "-static", "-o"]).arg(&program).arg(SOURCE).status()?;
    if !compiled.success() {
        return Err("gcc can't compile the workloads".into());
    }
    let recipe = Recipe { files: [("bin/workloads".to_owned(), program)].into(), ..Recipe::default() };
    let made = debian::prepare(&recipe, None, |what| eprintln!("peers: {what}"))?;
    Ok(Guest { kernel: made.kernel, initrd: made.initrd })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds by workload and peer, in the order of rounds.
type Figures = BTreeMap<String, BTreeMap<&'static str, Vec<f64>>>;

fn print(figures: &Figures, peers: &[&Peer]) {
    print!("{:<14}", "");
    for peer in peers {
        print!("{:>14}{:>9}", peer.name, "spread");
    }
    println!("   ratios to {}", peers[0].name);
    for (workload, by_peer) in figures {
        print!("{workload:<14}");
        let mut medians = Vec::new();
        for peer in peers {
            let mut values = by_peer.get(peer.name).cloned().unwrap_or_default();
            let middle = median(&mut values);
            let spread = (values.last().unwrap_or(&0.0) - values.first().unwrap_or(&0.0)) / middle * 100.0;
            print!("{middle:>12.2} s{spread:>8.0}%");
            medians.push(middle);
        }
        let ratios: Vec<String> =
            medians[1..].iter().map(|other| format!("{:.2}", other / medians[0])).collect();
        println!("   {}", ratios.join("  "));
    }
}

fn json(figures: &Figures) -> Result<String, Box<dyn Error>> {
    Ok(serde_json::to_string_pretty(figures)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test` and `cargo bench --no-run` only ask whether it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let rounds = std::env::var("PEERS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::TempDir::new()?;
    let guest = guest(folder.path())?;
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| peer.is_there()).collect();
    let mut figures = Figures::new();
    for round in 1..=rounds {
        for peer in &peers {
            eprintln!("peers: round {round} of {rounds}, {}", peer.name);
            for (workload, seconds) in peer.run(&guest)? {
                figures.entry(workload).or_default().entry(peer.name).or_default().push(seconds);
            }
        }
    }
    print(&figures, &peers);
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers.json");
    fs::write(&place, json(&figures)?)?;
    println!(
        "\nprocessor seconds, medians of {rounds} rounds; ratios above 1: the other takes longer. All figures: {}",
        place.display()
    );
    Ok(())
}
