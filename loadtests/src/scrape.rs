//! Reading a daemon's `/metrics`.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a scrape may take, on a machine that is busy with the load.
const SCRAPE_TIME: Duration = Duration::from_secs(20);
/// Largest answer read, in bytes.
const MAX_ANSWER: u64 = 4 << 20;

/// The metrics of one daemon at one moment.
#[derive(Debug, Clone, Default)]
pub struct Metrics(String);

impl Metrics {
    /// Asks an admin address.
    ///
    /// # Errors
    /// Nobody answers there, or it answers something else.
    pub async fn of(admin: SocketAddr) -> anyhow::Result<Metrics> {
        let text =
            timeout(SCRAPE_TIME, get(admin)).await.with_context(|| format!("{admin}: no answer in time"))?;
        let text = text.with_context(|| format!("http://{admin}/metrics"))?;
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(Metrics(body.to_owned())),
            _ => anyhow::bail!("http://{admin}/metrics: {}", text.lines().next().unwrap_or("nothing")),
        }
    }

    /// The sum of a metric over all its labels; 0 if it was never counted.
    pub fn sum(&self, name: &str) -> f64 {
        let samples = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let samples = samples.filter(|rest| rest.starts_with([' ', '{']));
        samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

async fn get(admin: SocketAddr) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(admin).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    socket.take(MAX_ANSWER).read_to_string(&mut text).await?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_summed_and_longer_names_are_others() {
        let text = "# HELP a_total x\na_total{k=\"1\"} 2\na_total{k=\"2\"} 3.5\na_total_more 100\nb 7\n";
        let metrics = Metrics(text.into());
        assert_eq!((metrics.sum("a_total"), metrics.sum("b"), metrics.sum("c")), (5.5, 7.0, 0.0));
    }
}
