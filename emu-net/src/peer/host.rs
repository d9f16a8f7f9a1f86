//! smoltcp's interface and sockets, and the services behind them.

use super::{PeerConfig, dhcp, dns, http, tftp};
use crate::report::Report;
use emu_core::VirtTime;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address};
use std::collections::{BTreeMap, VecDeque};

/// Ethernet's payload and header.
const MTU: usize = 1514;
/// HTTP connections at a time.
const CONNECTIONS: usize = 8;
/// TFTP transfers at a time.
const TRANSFERS: usize = 8;
/// Room in a TCP socket each way.
const TCP_ROOM: usize = 128 << 10;
/// Datagrams and bytes that a UDP socket holds each way.
const UDP_ROOM: (usize, usize) = (16, 32 << 10);
/// Rounds of interface and services for one call: far more than any exchange takes.
const ROUNDS_MAX: usize = 256;
/// First port of TFTP transfers.
const TRANSFER_PORTS: u16 = 49152;

/// Frames in and out of smoltcp.
#[derive(Default)]
pub(super) struct Port {
    to_host: VecDeque<Vec<u8>>,
    from_host: Vec<Vec<u8>>,
}

pub(super) struct In(Vec<u8>);
pub(super) struct Out<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Port {
    type RxToken<'a> = In;
    type TxToken<'a> = Out<'a>;

    fn receive(&mut self, _: Instant) -> Option<(In, Out<'_>)> {
        let frame = self.to_host.pop_front()?;
        Some((In(frame), Out(&mut self.from_host)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Out<'_>> {
        Some(Out(&mut self.from_host))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// What the host has served.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    pub(super) frames: u64,
    pub(super) addresses: u64,
    pub(super) names: u64,
    pub(super) transfers: u64,
    pub(super) requests: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// The host.
pub(super) struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    port: Port,
    dhcp: SocketHandle,
    dns: SocketHandle,
    tftp: SocketHandle,
    transfers: Vec<(SocketHandle, tftp::Transfer)>,
    connections: Vec<(SocketHandle, http::Connection)>,
    leases: dhcp::Leases,
    next_port: u16,
    served: Served,
}

fn instant(at: VirtTime) -> Instant {
    Instant::from_micros((at.as_ns() / 1000) as i64)
}

fn udp_socket(port: u16) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; UDP_ROOM.0], vec![0; UDP_ROOM.1]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    // A fresh socket and a port that is not 0 can't fail to bind.
    let _ = socket.bind(port);
    socket
}

impl Host {
    pub(super) fn new(config: &PeerConfig, mac: [u8; 6]) -> Self {
        let mut port = Port::default();
        let mut settings = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        settings.random_seed = config.seed;
        let mut interface = Interface::new(settings, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The first address always has room.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(config.ip), config.bits));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let connections = (0..CONNECTIONS)
            .map(|_| {
                let buffer = || tcp::SocketBuffer::new(vec![0; TCP_ROOM]);
                (sockets.add(tcp::Socket::new(buffer(), buffer())), http::Connection::default())
            })
            .collect();
        Self {
            interface,
            dhcp: sockets.add(udp_socket(dhcp::SERVER_PORT)),
            dns: sockets.add(udp_socket(dns::PORT)),
            tftp: sockets.add(udp_socket(tftp::PORT)),
            sockets,
            port,
            transfers: Vec::new(),
            connections,
            leases: dhcp::Leases::default(),
            next_port: TRANSFER_PORTS,
            served: Served::default(),
        }
    }

    /// Takes a frame, lets time pass; answers what is sent.
    pub(super) fn work(
        &mut self,
        config: &PeerConfig,
        files: &BTreeMap<String, Vec<u8>>,
        at: VirtTime,
        frame: Option<&[u8]>,
    ) -> Vec<Vec<u8>> {
        if let Some(frame) = frame {
            self.served.frames += 1;
            self.port.to_host.push_back(frame.to_vec());
        }
        for _ in 0..ROUNDS_MAX {
            let polled = self.interface.poll(instant(at), &mut self.port, &mut self.sockets);
            let served = self.serve(config, files, at);
            if polled == PollResult::None && !served {
                break;
            }
        }
        std::mem::take(&mut self.port.from_host)
    }

    /// When it wants to work without being told anything.
    pub(super) fn wake(&mut self, at: VirtTime) -> Option<VirtTime> {
        let interface = self.interface.poll_at(instant(at), &self.sockets);
        let interface =
            interface.map(|due| VirtTime((due.total_micros().max(0) as u64).saturating_mul(1_000_000)));
        let transfers = self.transfers.iter().filter_map(|(_, transfer)| transfer.due());
        // What it wants at once it had its chance to do.
        let soonest = VirtTime(at.0.saturating_add(1_000_000));
        transfers.chain(interface).min().map(|due| due.max(soonest))
    }

    pub(super) fn report(&self) -> Report {
        let Served { frames, addresses, names, transfers, requests, bytes_in, bytes_out } = self.served;
        Report::new("peer")
            .count("frames from guest", frames)
            .count("addresses given", addresses)
            .count("names asked", names)
            .count("TFTP transfers", transfers)
            .count("HTTP requests", requests)
            .count("HTTP bytes in", bytes_in)
            .count("HTTP bytes out", bytes_out)
    }

    /// Every service once; whether one has done something.
    fn serve(&mut self, config: &PeerConfig, files: &BTreeMap<String, Vec<u8>>, at: VirtTime) -> bool {
        let mut busy = self.serve_dhcp(config);
        busy |= self.serve_dns(config);
        busy |= self.serve_tftp(files, at);
        for (handle, connection) in &mut self.connections {
            busy |=
                connection.serve(self.sockets.get_mut::<tcp::Socket<'_>>(*handle), files, &mut self.served);
        }
        busy
    }

    fn serve_dhcp(&mut self, config: &PeerConfig) -> bool {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.dhcp);
        let Ok((request, from)) = socket.recv() else { return false };
        if let Some(reply) = dhcp::answer(config, &mut self.leases, request) {
            self.served.addresses += u64::from(reply.gives);
            let known = from.endpoint.addr != IpAddress::Ipv4(Ipv4Address::UNSPECIFIED);
            let to = if known { from.endpoint.addr } else { IpAddress::Ipv4(Ipv4Address::BROADCAST) };
            // A full queue loses the datagram, as any host's.
            let _ = socket.send_slice(&reply.bytes, IpEndpoint::new(to, dhcp::CLIENT_PORT));
        }
        true
    }

    fn serve_dns(&mut self, config: &PeerConfig) -> bool {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.dns);
        let Ok((query, from)) = socket.recv() else { return false };
        if let Some(answer) = dns::answer(config, query) {
            self.served.names += 1;
            let _ = socket.send_slice(&answer, from.endpoint);
        }
        true
    }

    fn serve_tftp(&mut self, files: &BTreeMap<String, Vec<u8>>, at: VirtTime) -> bool {
        let mut busy = false;
        let request = self.sockets.get_mut::<udp::Socket<'_>>(self.tftp).recv().ok();
        if let Some((request, from)) = request.map(|(bytes, from)| (bytes.to_vec(), from)) {
            busy = true;
            let port = self.next_port;
            self.next_port = self.next_port.checked_add(1).unwrap_or(TRANSFER_PORTS);
            if self.transfers.len() < TRANSFERS {
                self.served.transfers += 1;
                let handle = self.sockets.add(udp_socket(port));
                self.transfers.push((handle, tftp::Transfer::start(files, &request, from.endpoint)));
            }
        }
        let mut at_end = Vec::new();
        for (index, (handle, transfer)) in self.transfers.iter_mut().enumerate() {
            busy |= transfer.serve(self.sockets.get_mut::<udp::Socket<'_>>(*handle), at);
            if transfer.is_over() {
                at_end.push(index);
            }
        }
        for index in at_end.into_iter().rev() {
            // Its last datagram must be out before the socket goes.
            if self.sockets.get::<udp::Socket<'_>>(self.transfers[index].0).send_queue() == 0 {
                let (handle, _) = self.transfers.remove(index);
                self.sockets.remove(handle);
            }
        }
        busy
    }
}

/// smoltcp's end of a cable, for a client that is smoltcp as well.
#[cfg(test)]
pub(super) mod testing {
    use super::Port;

    pub(crate) fn port() -> Port {
        Port::default()
    }

    pub(crate) fn sent(port: &mut Port) -> Vec<Vec<u8>> {
        std::mem::take(&mut port.from_host)
    }

    pub(crate) fn give(port: &mut Port, frame: Vec<u8>) {
        port.to_host.push_back(frame);
    }
}
