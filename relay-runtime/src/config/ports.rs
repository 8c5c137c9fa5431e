//! Whether the addresses a daemon will listen on are free, before it starts anything.

use std::net::{SocketAddr, TcpListener};

use relay_core::document::{Position, Problem, Sink};

/// One problem per address that cannot be listened on now. Binds each for an instant. Port 0 is always free.
pub fn check_ports_free(addresses: &[SocketAddr]) -> Vec<Problem> {
    // All are held until all are tried, so that the same port given twice is found too.
    let mut held = Vec::new();
    let mut problems = Vec::new();
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(listener) => held.push(listener),
            Err(error) => problems.push(taken(address, &error)),
        }
    }
    problems
}

fn taken(address: &SocketAddr, error: &std::io::Error) -> Problem {
    let what = format!("cannot listen on {address}: {error}");
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!(
                "stop what listens there (ss -ltnp 'sport = :{}' shows it) or choose another port",
                address.port()
            )
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "choose an address of this machine, or 0.0.0.0 for all".into()
        }
        std::io::ErrorKind::PermissionDenied => {
            "choose a port from 1024 up, or give the service the right to".into()
        }
        _ => "choose another address".into(),
    };
    Problem::anywhere(what, hint)
}

/// Reports addresses of one file that stand for the same port.
pub(super) fn distinct(addresses: &[(Option<SocketAddr>, Position)], sink: &Sink) {
    for (i, (address, at)) in addresses.iter().enumerate() {
        let same = |(other, _): &&(Option<SocketAddr>, Position)| clash(*other, *address);
        if let Some((_, first)) = addresses[..i].iter().find(same) {
            let what = format!("this port is already taken by the address at {first}");
            sink.note(Problem::error(*at, what, "choose another port"));
        }
    }
}

fn clash(a: Option<SocketAddr>, b: Option<SocketAddr>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}
