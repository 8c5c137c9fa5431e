//! The admin address of a daemon: one GET, and the figures of `/metrics`.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longest time for one answer: a stopped process (SIGSTOP) accepts and then says nothing.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The status and the body of a path.
///
/// # Errors
/// Nobody there, or nothing said in time.
pub fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME)?;
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer");
    Ok((status.ok_or_else(broken)?, body.to_owned()))
}

/// The sum of a metric's series whose labels contain `label` (`why="handshake"`, or nothing for all).
pub fn metric(exposition: &str, name: &str, label: &str) -> f64 {
    let series = exposition.lines().filter(|line| !line.starts_with('#'));
    let own = series.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let bare = series.split('{').next() == Some(name);
        (bare && series.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    own.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_label() {
        let text = "# HELP a x\na{why=\"one\"} 2\na{why=\"two\"} 3\nab 7\n";
        assert_eq!(
            (metric(text, "a", ""), metric(text, "a", "why=\"two\""), metric(text, "ab", "")),
            (5.0, 3.0, 7.0)
        );
    }
}
