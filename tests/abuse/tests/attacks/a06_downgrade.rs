//! a06: TLS 1.3 and what this build knows of it, or nothing. The hello is written by hand: no library here offers less.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use abuse_tests::region::{ports, region, serves_on};

/// TLS alerts (RFC 8446, 6).
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const WAIT: Duration = Duration::from_secs(10);

/// What a client offers.
#[derive(Clone)]
struct Hello {
    legacy_version: u16,
    suites: Vec<u16>,
    versions: Option<Vec<u16>>,
    groups: Vec<u16>,
    signatures: Vec<u16>,
    alpn: &'static str,
    /// A key for X25519 is sent along.
    key: bool,
}

impl Hello {
    /// As a client of today: TLS 1.3, X25519 and P-256, no key yet, so that the server asks for one.
    fn good() -> Hello {
        Hello {
            legacy_version: 0x0303,
            suites: vec![0x1301, 0x1302, 0x1303],
            versions: Some(vec![0x0304]),
            groups: vec![0x001d, 0x0017],
            signatures: vec![0x0403, 0x0804],
            alpn: "h2",
            key: false,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let list = |items: &[u16]| items.iter().flat_map(|i| i.to_be_bytes()).collect::<Vec<u8>>();
        let mut extensions = Vec::new();
        extensions.extend(extension(10, &two(&list(&self.groups))));
        extensions.extend(extension(13, &two(&list(&self.signatures))));
        extensions.extend(extension(16, &two(&one(self.alpn.as_bytes()))));
        if let Some(versions) = &self.versions {
            extensions.extend(extension(43, &one(&list(versions))));
            // Any 32 bytes are a key of X25519.
            let key = if self.key { [&[0, 0x1d][..], &two(&[9; 32])].concat() } else { Vec::new() };
            extensions.extend(extension(51, &two(&key)));
        }
        let body = [
            &self.legacy_version.to_be_bytes()[..],
            &[7; 32],
            &one(&[9; 32]),
            &two(&list(&self.suites)),
            &one(&[0]),
            &two(&extensions),
        ]
        .concat();
        let length = (body.len() as u32).to_be_bytes();
        let handshake = [&[1][..], &length[1..], &body].concat();
        [&[22, 3, 1][..], &two(&handshake)].concat()
    }
}

fn one(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8][..], bytes].concat()
}

fn two(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &two(bytes)].concat()
}

/// What came: a handshake message, an alert by its number, or the end.
#[derive(Debug, PartialEq)]
enum Answer {
    Goes,
    Alert(u8),
    Closed,
}

fn answer(to: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut record = [0; 7];
    match stream.read_exact(&mut record) {
        Ok(()) if record[0] == 22 => Answer::Goes,
        Ok(()) if record[0] == 21 => Answer::Alert(record[6]),
        Ok(()) => panic!("{to}: {record:?} is no TLS"),
        Err(error) => {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{to}: no answer at all");
            Answer::Closed
        }
    }
}

/// Whether a server hangs up after what it has said to a hello, and does not wait for more.
fn hangs_up(to: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(to).unwrap();
    // Far below what a handshake may take.
    stream.set_read_timeout(Some(WAIT / 4)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.read_to_end(&mut Vec::new()).map_or_else(|e| e.kind() != std::io::ErrorKind::WouldBlock, |_| true)
}

#[tokio::test]
async fn nothing_older_or_weaker_than_tls_1_3_is_spoken() {
    let mut fabric = region().await;
    let good = Hello::good();
    let cases = [
        ("TLS 1.2", Hello { versions: None, ..good.clone() }, PROTOCOL_VERSION),
        (
            "TLS 1.2 with its suites",
            Hello { versions: None, suites: vec![0xc02b, 0xc02f, 0xc030, 0x009c, 0x002f], ..good.clone() },
            PROTOCOL_VERSION,
        ),
        ("TLS 1.2 by name", Hello { versions: Some(vec![0x0303]), ..good.clone() }, PROTOCOL_VERSION),
        ("TLS 1.0 by name", Hello { versions: Some(vec![0x0302, 0x0301]), ..good.clone() }, PROTOCOL_VERSION),
        ("SSL 3", Hello { legacy_version: 0x0300, versions: None, ..good.clone() }, PROTOCOL_VERSION),
        ("no suite of TLS 1.3", Hello { suites: vec![0x002f, 0x0000], ..good.clone() }, HANDSHAKE_FAILURE),
        ("no group that is known", Hello { groups: vec![0x0013, 0x0001], ..good.clone() }, HANDSHAKE_FAILURE),
    ];
    for (port, at, _) in ports(&fabric) {
        // The same hello, with nothing taken away, is answered: what follows is refused for its difference alone.
        assert_eq!(answer(at, &good.bytes()), Answer::Goes, "{port}");
        let waits = Hello { key: true, ..good.clone() }.bytes();
        assert!(!hangs_up(at, &waits), "{port}: a good hello");
        for (what, hello, alert) in &cases {
            assert_eq!(answer(at, &hello.bytes()), Answer::Alert(*alert), "{port}: {what}");
        }
        // What these come to is found out after the first words of the server, whose refusal is encrypted then: it hangs up.
        let keyed = Hello { key: true, ..good.clone() };
        for (what, hello) in [
            ("SHA-1 and RSA PKCS#1 only", Hello { signatures: vec![0x0201, 0x0203], ..keyed.clone() }),
            ("HTTP/1.1", Hello { alpn: "http/1.1", ..keyed.clone() }),
            ("another protocol", Hello { alpn: "h3", ..keyed.clone() }),
        ] {
            assert!(hangs_up(at, &hello.bytes()), "{port}: {what}");
        }
        let ssl2 = [0x80, 0x2e, 0x01, 0x00, 0x02, 0x00, 0x15, 0x00, 0x00, 0x00, 0x10];
        assert!(!matches!(answer(at, &ssl2), Answer::Goes), "{port}: SSL 2");
    }
    serves_on(&mut fabric).await;
}
