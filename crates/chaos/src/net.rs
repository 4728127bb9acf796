//! The network between servers and members of the engine, which the bench owns: every connection
//! between two of them goes through a *gate* before the one that is called.
//!
//! A gate is for one caller or for all. Who calls at one for all is found by the process that holds
//! the other end of the connection, which is dear: servers and members call each other seldom, and
//! each server has gates of its own before the engine. What is on its way while a cut lasts arrives when it ends, as with TCP, or the connection
//! breaks: whoever cuts says which.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// How often a connection that is cut looks whether it still is.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A process that has started a moment ago may not be known yet.
const LOOKS_FOR_CALLER: u32 = 20;

/// What becomes of bytes from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// They arrive.
    Pass,
    /// They arrive so many milliseconds later.
    Late(u32),
    /// They do not arrive.
    Cut,
}

impl Flow {
    const CUT: u32 = u32::MAX;

    const fn to_bits(self) -> u32 {
        match self {
            Self::Pass => 0,
            Self::Late(ms) => ms,
            Self::Cut => Self::CUT,
        }
    }
}

/// The network. Its nodes are numbered.
#[derive(Debug)]
pub struct Net {
    pids: Mutex<Vec<Option<u32>>>,
    /// A flow from each node to each.
    flows: Vec<AtomicU32>,
    /// How often connections between two nodes were broken.
    breaks: Vec<AtomicU64>,
    nodes: usize,
}

impl Net {
    /// A network of `nodes`, in which all pass.
    pub fn new(nodes: usize) -> Arc<Self> {
        Arc::new(Self {
            pids: Mutex::new(vec![None; nodes]),
            flows: (0..nodes * nodes).map(|_| AtomicU32::new(0)).collect(),
            breaks: (0..nodes * nodes).map(|_| AtomicU64::new(0)).collect(),
            nodes,
        })
    }

    /// Takes note that the process `pid` is this node now.
    pub fn is(&self, node: usize, pid: u32) {
        self.pids()[node] = Some(pid);
    }

    fn pids(&self) -> MutexGuard<'_, Vec<Option<u32>>> {
        // Every change is a single assignment.
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what becomes of bytes from one node to another.
    pub fn set(&self, from: usize, to: usize, flow: Flow) {
        self.flows[from * self.nodes + to].store(flow.to_bits(), Ordering::Relaxed);
    }

    /// Breaks all connections between two nodes, whoever has called.
    pub fn break_between(&self, a: usize, b: usize) {
        for at in [a * self.nodes + b, b * self.nodes + a] {
            self.breaks[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens a gate for all before `port` of the node `to`; answers the port of the gate.
    ///
    /// # Errors
    /// If no port is free.
    pub fn gate(self: &Arc<Self>, to: usize, port: u16) -> Result<u16> {
        self.open(None, to, port)
    }

    /// The same for the node `from` alone.
    ///
    /// # Errors
    /// If no port is free.
    pub fn gate_for(self: &Arc<Self>, from: usize, to: usize, port: u16) -> Result<u16> {
        self.open(Some(from), to, port)
    }

    fn open(self: &Arc<Self>, from: Option<usize>, to: usize, port: u16) -> Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free for a gate")?;
        let own = listener.local_addr()?;
        let net = Arc::clone(self);
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let net = Arc::clone(&net);
                std::thread::spawn(move || {
                    let peer = caller.peer_addr().ok();
                    let found = || net.caller(peer?.port(), own.port());
                    net.connect(&caller, from.or_else(found), to, port);
                });
            }
        });
        Ok(own.port())
    }

    /// Passes on what two nodes say to each other.
    fn connect(self: &Arc<Self>, caller: &TcpStream, from: Option<usize>, to: usize, port: u16) {
        // Whoever is no node, such as the bench, passes.
        let link = from.map(|from| (from * self.nodes + to, to * self.nodes + from));
        let broken_before = link.map_or(0, |(there, _)| self.breaks[there].load(Ordering::Relaxed));
        if let Some((there, _)) = link {
            // A connection that is asked for during a cut comes about when it ends.
            self.wait(there, broken_before);
        }
        let pair = TcpStream::connect(("127.0.0.1", port)).and_then(|called| {
            caller.set_nodelay(true)?;
            called.set_nodelay(true)?;
            Ok((caller.try_clone()?, called.try_clone()?, called))
        });
        let Ok((caller_read, called_write, called)) = pair else {
            // Whoever is not there refuses.
            let _closed = caller.shutdown(Shutdown::Both);
            return;
        };
        let net = Arc::clone(self);
        let there = link.map(|(there, _)| there);
        std::thread::spawn(move || net.pass(&caller_read, &called_write, there, broken_before));
        self.pass(&called, caller, link.map(|(_, back)| back), broken_before);
    }

    /// Passes on what comes from `from`, as the flow of `link` says.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, link: Option<usize>, breaks: u64) {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let len = from.read(&mut bytes).unwrap_or(0);
            let whole = link.is_none_or(|link| self.wait(link, breaks));
            if !whole || len == 0 || to.write_all(&bytes[..len]).is_err() {
                break;
            }
        }
        // Whoever has gone already needs not be told.
        let _closed = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Waits as long as the flow says. Returns whether the connection is whole.
    fn wait(&self, link: usize, breaks: u64) -> bool {
        loop {
            match self.flows[link].load(Ordering::Relaxed) {
                0 => break,
                Flow::CUT => std::thread::sleep(LOOK_EVERY),
                late_ms => {
                    std::thread::sleep(Duration::from_millis(u64::from(late_ms)));
                    break;
                }
            }
        }
        self.breaks[link].load(Ordering::Relaxed) == breaks
    }

    /// Which node has the connection from `port` to `gate`.
    fn caller(&self, port: u16, gate: u16) -> Option<usize> {
        for _ in 0..LOOKS_FOR_CALLER {
            // Of whoever has gone again there is none.
            let inode = socket_inode(port, gate).filter(|inode| inode != "0")?;
            let pids = self.pids().clone();
            let holds = |pid: &Option<u32>| pid.is_some_and(|pid| holds_socket(pid, &inode));
            if let Some(node) = pids.iter().position(holds) {
                return Some(node);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        None
    }
}

/// The inode of the socket of the connection from `port` to `to`, both on 127.0.0.1.
fn socket_inode(port: u16, to: u16) -> Option<String> {
    // proc_pid_net(5): the addresses in hexadecimal are the second and third field, the inode is
    // the tenth.
    let (local, remote) = (format!("0100007F:{port:04X}"), format!("0100007F:{to:04X}"));
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it =
            fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str());
        is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    })
}

fn holds_socket(pid: u32, inode: &str) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection of this process, as node 0, to an echo that is node 1.
    fn through_a_gate() -> (Arc<Net>, TcpStream) {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = echo.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in echo.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut bytes = [0; 64];
                    while let Ok(len) = (&client).read(&mut bytes)
                        && len > 0
                    {
                        (&client).write_all(&bytes[..len]).unwrap();
                    }
                });
            }
        });
        let net = Net::new(2);
        net.is(0, std::process::id());
        let gate = net.gate(1, port).unwrap();
        (net, TcpStream::connect(("127.0.0.1", gate)).unwrap())
    }

    /// What comes back of `text`, and within a short time.
    fn echoed(mut stream: &TcpStream, text: &str, within: Duration) -> Option<String> {
        stream.set_read_timeout(Some(within)).unwrap();
        let mut bytes = [0; 64];
        drop(stream.write_all(text.as_bytes()));
        let len = stream.read(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..len].to_vec()).unwrap())
    }

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_cut_holds_back_what_goes_one_way_until_it_ends() {
        for (from, to) in [(0, 1), (1, 0)] {
            let (net, stream) = through_a_gate();
            assert_eq!(echoed(&stream, "a", LONG).as_deref(), Some("a"));
            net.set(from, to, Flow::Cut);
            assert_eq!(echoed(&stream, "b", SHORT), None);
            net.set(from, to, Flow::Pass);
            assert_eq!(echoed(&stream, "", LONG).as_deref(), Some("b"));
            net.set(from, to, Flow::Late(1));
            assert_eq!(echoed(&stream, "c", LONG).as_deref(), Some("c"));
        }
    }

    #[test]
    fn a_connection_that_is_broken_ends_and_a_new_one_passes() {
        let (net, stream) = through_a_gate();
        assert_eq!(echoed(&stream, "a", LONG).as_deref(), Some("a"));
        net.break_between(1, 0);
        let ended = echoed(&stream, "b", LONG);
        assert!(ended.is_none_or(|text| text.is_empty()));
        let again = TcpStream::connect(stream.peer_addr().unwrap()).unwrap();
        assert_eq!(echoed(&again, "c", LONG).as_deref(), Some("c"));
    }

    #[test]
    fn whoever_is_no_node_passes() {
        let (net, stream) = through_a_gate();
        net.is(0, 1);
        net.set(0, 1, Flow::Cut);
        let stranger = TcpStream::connect(stream.peer_addr().unwrap()).unwrap();
        assert_eq!(echoed(&stranger, "a", LONG).as_deref(), Some("a"));
    }
}
