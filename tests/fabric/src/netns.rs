//! A network of a test's own: hosts with their own addresses in network namespaces, joined by a bridge, and cut from each
//! other with nftables, in both directions or in one.
//!
//! The namespaces have no names: they are there as long as somebody is in them, so nothing stays behind, however a test
//! ends, and nothing of the machine's own network is touched. The bridge and the test's thread are in one of them ("here"),
//! with everything that the test starts and puts nowhere else; what is a host's is started in that host's.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    process::{Command, Stdio},
    sync::Arc,
};

use nix::{errno::Errno, libc};

/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";
/// Addresses are 10.77.0.1 and up. No other network is in these namespaces.
const NETWORK: [u8; 3] = [10, 77, 0];
/// As many as the last byte of an address holds, without the one here.
const MOST_HOSTS: usize = 250;
/// Drops what a rule names when it arrives: it was sent, and nobody tells the sender.
const CHAIN: &str = "add table ip cuts\n\
     add chain ip cuts arriving { type filter hook input priority 0; policy accept; }\n";

/// Hosts, and a bridge between them. It belongs to the thread that made it.
#[derive(Debug)]
pub struct Network {
    hosts: BTreeMap<String, Host>,
    machine: File,
    /// A thread is in a namespace, and not a process: this stays where it is.
    thread: PhantomData<*const ()>,
}

/// One host: an address, and the namespace that has it.
#[derive(Debug, Clone)]
pub struct Host {
    ip: IpAddr,
    space: Arc<File>,
}

impl Network {
    /// The address of everything that is not put on a host.
    pub const HERE: IpAddr = address(1);

    /// A network with these hosts, which the calling thread enters until it is dropped. Nothing, and a line on stderr, where
    /// the machine allows no such thing.
    ///
    /// # Panics
    /// There are too many.
    pub fn of(names: &[&str]) -> Option<Network> {
        match Network::begin(names) {
            Ok(network) => Some(network),
            Err(why) => {
                // Straight to stderr: the test harness would swallow what is printed.
                let line = format!(
                    "SKIPPED: {why}, so no network is cut: run as root; apt-get install -y iproute2 nftables\n"
                );
                let _ = io::stderr().write_all(line.as_bytes());
                None
            }
        }
    }

    fn begin(names: &[&str]) -> Result<Network, String> {
        assert!(names.len() <= MOST_HOSTS, "{} hosts", names.len());
        for program in ["ip", "nft"] {
            run(program, &["-V"], "").map_err(|e| format!("no {program} here ({e})"))?;
        }
        let machine = File::open(OWN).map_err(|e| format!("no network namespaces here ({e})"))?;
        let mut network = Network { hosts: BTreeMap::new(), machine, thread: PhantomData };
        for (name, last) in names.iter().zip(2..) {
            let host = Host { ip: address(last), space: Arc::new(new_space()?) };
            network.hosts.insert((*name).to_owned(), host);
        }
        new_space()?;
        // Some kernels have namespaces, and no nftables in them.
        run("nft", &["-f", "-"], CHAIN).map_err(|e| format!("nftables are refused ({e})"))?;
        network.join().map_err(|e| format!("bridges between network namespaces are refused ({e})"))?;
        Ok(network)
    }

    /// Puts a cable between each host and the bridge.
    fn join(&self) -> Result<(), String> {
        let here = Network::HERE;
        let mut batch = format!(
            "link set lo up\nlink add bridge type bridge\nlink set bridge up\naddress add {here}/24 dev bridge\n"
        );
        for (no, host) in self.hosts.values().enumerate() {
            let space = format!("/proc/{}/fd/{}", std::process::id(), host.space.as_raw_fd());
            batch += &format!("link add cable{no} type veth peer name cable netns {space}\n");
            batch += &format!("link set cable{no} master bridge\nlink set cable{no} up\n");
        }
        run("ip", &["-batch", "-"], &batch)?;
        self.hosts.values().try_for_each(|host| {
            let ip = host.ip;
            let batch = format!("link set lo up\naddress add {ip}/24 dev cable\nlink set cable up\n");
            host.within(|| run("ip", &["-batch", "-"], &batch))
        })
    }

    /// A host by its name.
    ///
    /// # Panics
    /// There is none.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.get(name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// All of them, by name.
    pub fn hosts(&self) -> &BTreeMap<String, Host> {
        &self.hosts
    }

    /// Nothing that a host sends to another one arrives any more. What the other one sends does.
    ///
    /// # Panics
    /// There is no such host, or nft refuses it.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        let rules = format!("{CHAIN}add rule ip cuts arriving ip saddr {} drop\n", self.host(from).ip);
        self.host(to).within(|| run("nft", &["-f", "-"], &rules)).expect("a rule");
    }

    /// Nothing arrives from one at the other, in either direction.
    ///
    /// # Panics
    /// As [`Network::cut_one_way`].
    pub fn cut(&self, one: &str, other: &str) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Everything arrives again.
    ///
    /// # Panics
    /// nft refuses it.
    pub fn heal(&self) {
        for host in self.hosts.values() {
            host.within(|| run("nft", &["flush", "ruleset"], "")).expect("no rules");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The harness may run its next test in this thread.
        if let Err(error) = enter(&self.machine) {
            eprintln!("this thread can't leave its network namespace: {error}");
        }
    }
}

impl Host {
    /// Its address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Does something on this host: a process that it starts and a socket that it opens stay there.
    ///
    /// # Panics
    /// The thread can't go there, or not come back.
    pub fn within<T>(&self, what: impl FnOnce() -> T) -> T {
        let back = Back(File::open(OWN).expect("a thread has a namespace"));
        enter(&self.space).expect("a namespace of ours");
        let done = what();
        drop(back);
        done
    }
}

/// Brings a thread back to where it came from, also when what it did there panics.
struct Back(File);

impl Drop for Back {
    fn drop(&mut self) {
        let back = enter(&self.0);
        assert!(back.is_ok() || std::thread::panicking(), "{back:?}");
    }
}

const fn address(last: u8) -> IpAddr {
    let [a, b, c] = NETWORK;
    IpAddr::V4(Ipv4Addr::new(a, b, c, last))
}

/// Puts the calling thread into a namespace that is new.
fn new_space() -> Result<File, String> {
    // SAFETY: it changes nothing but which network this thread sees.
    let made = Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNET) });
    made.map_err(|e| format!("network namespaces are refused ({e})"))?;
    File::open(OWN).map_err(|e| format!("a network namespace can't be opened ({e})"))
}

/// Puts the calling thread into a namespace.
fn enter(space: &File) -> nix::Result<()> {
    // SAFETY: the descriptor is open, and nothing but which network this thread sees is changed.
    Errno::result(unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Runs one of the system's programs in the thread's namespace.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let taken = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let done = child.wait_with_output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    match taken {
        _ if !done.status.success() => Err(format!("{}: {text}", done.status)),
        Some(Err(error)) => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, time::Duration};

    use super::*;

    /// Sends a datagram; gives the first that arrives, which may be an earlier one.
    fn hears(from: &UdpSocket, to: &UdpSocket, sent: u8) -> u8 {
        from.send_to(&[sent], to.local_addr().unwrap()).unwrap();
        let mut first = [0];
        to.recv(&mut first).unwrap();
        first[0]
    }

    #[test]
    fn what_is_cut_does_not_arrive_and_all_else_does() {
        let Some(network) = Network::of(&["a", "b", "c"]) else { return };
        let [a, b, c] = ["a", "b", "c"].map(|name| {
            let host = network.host(name);
            let socket = host.within(|| UdpSocket::bind((host.ip(), 0))).unwrap();
            // Far more than a datagram needs: reached only when the test fails.
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket
        });
        assert_eq!((hears(&a, &b, 1), hears(&b, &a, 1)), (1, 1));
        network.cut_one_way("a", "b");
        a.send_to(&[2], b.local_addr().unwrap()).unwrap();
        assert_eq!(hears(&b, &a, 2), 2, "the other direction");
        assert_eq!(hears(&c, &b, 3), 3, "from a third, and not what was sent before");
        network.cut("a", "b");
        b.send_to(&[4], a.local_addr().unwrap()).unwrap();
        assert_eq!(hears(&c, &a, 5), 5, "both directions");
        network.heal();
        assert_eq!((hears(&a, &b, 6), hears(&b, &a, 6)), (6, 6));
    }

    #[test]
    fn the_thread_leaves_with_it() {
        let space = || std::fs::read_link(OWN).unwrap();
        let before = space();
        let Some(network) = Network::of(&["a"]) else { return };
        let here = space();
        assert_ne!(here, before);
        assert_ne!(network.host("a").within(space), here);
        assert_eq!(space(), here);
        drop(network);
        assert_eq!(space(), before);
    }
}
