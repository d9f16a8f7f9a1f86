//! From the scenario's network to what hangs at the card's cable: the far end, and layer by layer what lies before it.

use crate::error::Error;
use crate::scenario::{Layer, Network, Scenario};
use emu_net::converse::Converse;
use emu_net::layer::{CaptureLayer, Expression, Filter, Impair, ImpairConfig, Rewrite, RewriteConfig};
use emu_net::peer::Peer;
use emu_net::{Loopback, NetBackend, Null, Replay};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

fn refuse(reason: impl ToString) -> Error {
    Error::Config { part: "network", reason: reason.to_string() }
}

/// Everything at the card's cable.
pub(super) fn far_end(scenario: &Scenario) -> Result<Box<dyn NetBackend>, Error> {
    scenario
        .wire
        .iter()
        .try_fold(end(scenario, &scenario.network)?, |inner, layer| decorate(scenario, inner, layer))
}

fn files(scenario: &Scenario, files: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let read = |(name, path): (&String, &PathBuf)| Ok((name.clone(), scenario.read(path)?.into_owned()));
    files.iter().map(read).collect()
}

fn end(scenario: &Scenario, network: &Network) -> Result<Box<dyn NetBackend>, Error> {
    Ok(match network {
        Network::Null => Box::new(Null),
        Network::Loopback => Box::new(Loopback::default()),
        Network::Replay { pcap, pacing, start, options } => {
            let bytes = scenario.read(pcap)?;
            Box::new(Replay::new(pcap, &bytes, pacing, start.0, options)?)
        }
        Network::Converse { pcap, start, options } => {
            let bytes = scenario.read(pcap)?;
            Box::new(Converse::new(pcap, &bytes, start.0, options)?)
        }
        Network::Peer { options, files: names } => {
            Box::new(Peer::new(options.clone(), files(scenario, names)?).map_err(refuse)?)
        }
    })
}

fn decorate(
    scenario: &Scenario,
    inner: Box<dyn NetBackend>,
    layer: &Layer,
) -> Result<Box<dyn NetBackend>, Error> {
    Ok(match layer {
        Layer::Filter { pass, way } => {
            Box::new(Filter::new(inner, Expression::parse(pass).map_err(refuse)?, *way))
        }
        Layer::Rewrite { macs, ips, ports } => {
            let config = RewriteConfig { macs: macs.clone(), ips: ips.clone(), ports: ports.clone() };
            Box::new(Rewrite::new(inner, &config).map_err(refuse)?)
        }
        Layer::Impair { seed, to_guest, from_guest } => {
            let config = ImpairConfig { seed: *seed, to_guest: *to_guest, from_guest: *from_guest };
            Box::new(Impair::new(inner, config))
        }
        Layer::Capture { file } => {
            let path = scenario.base.join(file);
            let out = File::create(&path).map_err(Error::file(&path))?;
            let layer =
                CaptureLayer::new(inner, Box::new(BufWriter::new(out))).map_err(Error::file(&path))?;
            Box::new(layer)
        }
    })
}
