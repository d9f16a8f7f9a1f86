//! Lets frames pass that an expression describes, in the words of tcpdump's filters (pcap-filter(7)), of which it knows the
//! common ones:
//!
//! ```text
//! arp, ip, ip6, tcp, udp, icmp, icmp6, broadcast, multicast, vlan [ID]
//! [src|dst] host ADDRESS, [src|dst] net ADDRESS/BITS, [src|dst] port N, ether [src|dst] host MAC, less N, greater N
//! not E, E and E, E or E, (E)
//! ```

use super::{LayerState, Way};
use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::converse::Step;
use crate::packet::{self, Layout};
use crate::report::Report;
use crate::wire::parse_mac;
use emu_core::VirtTime;
use std::net::IpAddr;

/// What an expression says of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(Node);

/// Why an expression can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filter `{text}`, word {word}: {reason}")]
pub struct ExpressionError {
    text: String,
    word: usize,
    reason: String,
}

/// Source, destination, or either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Destination,
    Either,
}

impl End {
    fn any(self, test: impl Fn(bool) -> bool) -> bool {
        match self {
            Self::Source => test(false),
            Self::Destination => test(true),
            Self::Either => test(false) || test(true),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Always,
    EtherType(u16),
    Protocol(u8),
    Broadcast,
    Multicast,
    Vlan(Option<u16>),
    Host(End, IpAddr, u8),
    Port(End, u16),
    EtherHost(End, [u8; 6]),
    Less(usize),
    Greater(usize),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
}

/// Deeper nesting than anybody writes.
const DEPTH_MAX: usize = 64;

impl Expression {
    /// Reads an expression; an empty one lets everything pass.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('!', " not ");
        let mut parser =
            Parser { text, words: spaced.split_whitespace().map(str::to_owned).collect(), at: 0, depth: 0 };
        if parser.words.is_empty() {
            return Ok(Self(Node::Always));
        }
        let node = parser.either()?;
        if parser.at < parser.words.len() {
            return Err(parser.error("not expected here"));
        }
        Ok(Self(node))
    }

    /// Whether it describes this frame.
    #[must_use]
    pub fn matches(&self, frame: &[u8]) -> bool {
        Layout::of(frame).is_some_and(|layout| self.0.matches(frame, &layout))
    }
}

impl Node {
    fn matches(&self, frame: &[u8], layout: &Layout) -> bool {
        match self {
            Self::Always => true,
            Self::EtherType(wanted) => layout.ether_type == *wanted,
            Self::Protocol(wanted) => layout.protocol == Some(*wanted),
            Self::Broadcast => frame[..6] == [0xff; 6],
            Self::Multicast => frame[0] & 1 != 0,
            Self::Vlan(wanted) => layout.vlan.is_some_and(|vlan| wanted.is_none_or(|wanted| wanted == vlan)),
            Self::Host(end, address, bits) => end.any(|destination| {
                host(frame, layout, destination).is_some_and(|found| same_net(found, *address, *bits))
            }),
            Self::Port(end, port) => end.any(|destination| layout.port(frame, destination) == Some(*port)),
            Self::EtherHost(end, mac) => end.any(|destination| {
                let at = if destination { 0 } else { 6 };
                frame[at..at + 6] == *mac
            }),
            Self::Less(len) => frame.len() <= *len,
            Self::Greater(len) => frame.len() >= *len,
            Self::Not(node) => !node.matches(frame, layout),
            Self::And(one, other) => one.matches(frame, layout) && other.matches(frame, layout),
            Self::Or(one, other) => one.matches(frame, layout) || other.matches(frame, layout),
        }
    }
}

/// An IP packet's address or that which an ARP packet speaks of.
fn host(frame: &[u8], layout: &Layout, destination: bool) -> Option<IpAddr> {
    layout.address(frame, destination).or_else(|| {
        let (_, place) = layout.arp_places(frame, destination)?;
        <[u8; 4]>::try_from(&frame[place]).ok().map(IpAddr::from)
    })
}

fn same_net(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let shift = |width: u32| width.saturating_sub(u32::from(bits));
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<String>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, reason: impl Into<String>) -> ExpressionError {
        ExpressionError { text: self.text.to_owned(), word: self.at + 1, reason: reason.into() }
    }

    fn word(&self) -> &str {
        self.words.get(self.at).map_or("", String::as_str)
    }

    fn takes(&mut self, words: &[&str]) -> bool {
        let takes = words.contains(&self.word());
        self.at += usize::from(takes);
        takes
    }

    fn either(&mut self) -> Result<Node, ExpressionError> {
        let mut node = self.both()?;
        while self.takes(&["or", "||"]) {
            node = Node::Or(Box::new(node), Box::new(self.both()?));
        }
        Ok(node)
    }

    fn both(&mut self) -> Result<Node, ExpressionError> {
        let mut node = self.term()?;
        while self.takes(&["and", "&&"]) {
            node = Node::And(Box::new(node), Box::new(self.term()?));
        }
        Ok(node)
    }

    fn term(&mut self) -> Result<Node, ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        let node = if self.takes(&["not"]) {
            Node::Not(Box::new(self.term()?))
        } else if self.takes(&["("]) {
            let node = self.either()?;
            if !self.takes(&[")"]) {
                return Err(self.error("`)` is missing"));
            }
            node
        } else {
            self.primitive()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn primitive(&mut self) -> Result<Node, ExpressionError> {
        let ether = self.takes(&["ether"]);
        let end = match self.word() {
            "src" => End::Source,
            "dst" => End::Destination,
            _ => End::Either,
        };
        self.at += usize::from(end != End::Either);
        let word = self.word().to_owned();
        self.at += 1;
        let plain = !ether && end == End::Either;
        Ok(match word.as_str() {
            "host" if ether => {
                let mac = parse_mac(self.word()).map_err(|reason| self.error(reason))?;
                self.at += 1;
                Node::EtherHost(end, mac)
            }
            "host" | "net" if !ether => self.address(end, word == "net")?,
            "port" if !ether => Node::Port(end, self.number()?),
            "arp" if plain => Node::EtherType(packet::ARP),
            "ip" if plain => Node::EtherType(packet::IPV4),
            "ip6" if plain => Node::EtherType(packet::IPV6),
            "tcp" if plain => Node::Protocol(packet::TCP),
            "udp" if plain => Node::Protocol(packet::UDP),
            "icmp" if plain => Node::Protocol(packet::ICMP),
            "icmp6" if plain => Node::Protocol(packet::ICMPV6),
            "broadcast" if plain => Node::Broadcast,
            "multicast" if plain => Node::Multicast,
            "vlan" if plain => {
                let named = self.word().parse::<u16>().is_ok();
                Node::Vlan(if named { Some(self.number()?) } else { None })
            }
            "less" if plain => Node::Less(self.number()?),
            "greater" if plain => Node::Greater(self.number()?),
            _ => {
                self.at -= 1;
                return Err(self.error(format!("`{word}` is none of the words that can stand here")));
            }
        })
    }

    fn number<N: std::str::FromStr>(&mut self) -> Result<N, ExpressionError> {
        let number =
            self.word().parse().map_err(|_| self.error(format!("`{}` is no such number", self.word())))?;
        self.at += 1;
        Ok(number)
    }

    fn address(&mut self, end: End, net: bool) -> Result<Node, ExpressionError> {
        let word = self.word();
        let (address, bits) = match word.split_once('/') {
            Some((address, bits)) if net => (address, bits.parse().ok()),
            _ => (word, (!net).then_some(128)),
        };
        let (Ok(address), Some(bits)) = (address.parse::<IpAddr>(), bits) else {
            let form = if net { "a network, 10.0.0.0/8 for instance" } else { "an address" };
            return Err(self.error(format!("`{word}` is not {form}")));
        };
        self.at += 1;
        Ok(Node::Host(end, address, bits))
    }
}

/// The decorator.
pub struct Filter {
    inner: Box<dyn NetBackend>,
    pass: Expression,
    way: Way,
    /// Frames passed and held back.
    counts: [u64; 2],
}

impl Filter {
    /// Lets frames pass that `pass` describes; frames that go another way than `way` pass unseen.
    #[must_use]
    pub fn new(inner: Box<dyn NetBackend>, pass: Expression, way: Way) -> Self {
        Self { inner, pass, way, counts: [0; 2] }
    }

    fn passes(&mut self, frame: &[u8]) -> bool {
        let passes = self.pass.matches(frame);
        self.counts[usize::from(!passes)] += 1;
        passes
    }
}

impl NetBackend for Filter {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        if !self.way.is_out() || self.passes(frame) {
            self.inner.send(now, frame);
        }
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.inner.next_arrival()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        let frame = self.inner.receive(now)?;
        (!self.way.is_in() || self.passes(&frame.bytes)).then_some(frame)
    }

    fn held(&self) -> Option<usize> {
        self.inner.held()
    }

    fn is_exhausted(&self) -> bool {
        self.inner.is_exhausted()
    }

    fn take_steps(&mut self) -> Vec<Step> {
        self.inner.take_steps()
    }

    fn report(&self, reports: &mut Vec<Report>) {
        self.inner.report(reports);
        reports
            .push(Report::new("filter").count("passed", self.counts[0]).count("held back", self.counts[1]));
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.inner.finish()
    }

    fn state(&self) -> BackendState {
        BackendState::Layer(LayerState::Filter(self.counts), Box::new(self.inner.state()))
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Layer(LayerState::Filter(counts), inner) = state else {
            return Err(BackendRestoreError::Kind);
        };
        self.counts = crate::report::sound(counts)?;
        self.inner.restore(*inner)
    }
}
