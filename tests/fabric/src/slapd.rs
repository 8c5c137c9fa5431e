//! An LDAP server of a test's own: the system's slapd, in a directory that goes with it, on a loopback address.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::sys::{prctl, signal::Signal};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::wait::until;

/// Debian's place for the server.
const SERVER: &str = "/usr/sbin/slapd";
/// Debian's places for what it is made of.
const MODULES: &str = "/usr/lib/ldap";
const SCHEMAS: &str = "/etc/ldap/schema";
/// The server's own account, which may do everything; and its password.
pub const ADMIN: &str = "cn=admin,dc=test";
/// Its password.
pub const ADMIN_WORD: &str = "admin word";

/// A server. It ends with the thread that started it.
pub struct Slapd {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Slapd {
    /// Starts one with these entries (LDIF, below `dc=test`). Nothing, and a line on stderr, where slapd is not installed.
    ///
    /// # Panics
    /// It is installed and does not start.
    pub async fn start(entries: &str) -> Option<Slapd> {
        if !Path::new(SERVER).exists() {
            // Straight to stderr: the test harness would swallow what is printed.
            let _ = io::stderr().write_all(
                b"SKIPPED: no slapd here, so no login is tested on it: apt-get install -y slapd ldap-utils\n",
            );
            return None;
        }
        let dir = tempfile::Builder::new().prefix("relay-ldap-").tempdir().expect("a temporary directory");
        let address = free();
        certify(dir.path(), address);
        lay_out(dir.path(), entries);
        let slapd = Slapd { child: run(dir.path(), address), address, dir };
        until("slapd to answer", async || TcpStream::connect(slapd.address).ok()).await;
        Some(slapd)
    }

    /// Where it is, as configurations write it.
    pub fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// The same by TLS, with a certificate that the authority of [`Slapd::ca`] has signed.
    pub fn secure_url(&self) -> String {
        format!("ldaps://{}", secure(self.address))
    }

    /// Who signed its certificate.
    pub fn ca(&self) -> String {
        self.dir.path().join("ca.pem").display().to_string()
    }

    /// A file with the password of [`ADMIN`], for the top master alone.
    pub fn password_file(&self) -> String {
        self.dir.path().join("word").display().to_string()
    }

    /// Changes entries (LDIF with changetypes).
    ///
    /// # Panics
    /// They are not changed.
    pub fn modify(&self, ldif: &str) {
        let file = self.dir.path().join("change.ldif");
        fs::write(&file, ldif).expect("a file");
        let mut modify = Command::new("ldapmodify");
        modify.args(["-x", "-H", &self.url(), "-D", ADMIN, "-w", ADMIN_WORD, "-f"]).arg(file);
        let done = modify.output().expect("ldapmodify (apt-get install -y ldap-utils)");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// It is away from now on.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// It is back.
    pub async fn restart(&mut self) {
        self.child = run(self.dir.path(), self.address);
        until("slapd to answer", async || TcpStream::connect(self.address).ok()).await;
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// An address of this server's own: nobody else takes its port while it is down.
fn free() -> SocketAddr {
    let [a, b, c] = rand::random::<[u8; 3]>();
    let ip: IpAddr = [127, a.max(1), b, c.clamp(1, 254)].into();
    TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).expect("a loopback address")
}

/// Where it speaks TLS: another address of this machine, the same port.
fn secure(address: SocketAddr) -> SocketAddr {
    let IpAddr::V4(ip) = address.ip() else { panic!("{address} is no IPv4 address") };
    let [a, b, c, _] = ip.octets();
    SocketAddr::new([a, b, c, 255].into(), address.port())
}

fn certify(dir: &Path, address: SocketAddr) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec![secure(address).ip().to_string()]).expect("a name");
    let own = own.signed_by(&key, &ca).expect("a certificate");
    for (name, text) in [("ca.pem", ca.pem()), ("own.pem", own.pem()), ("own.key", key.serialize_pem())] {
        crate::config::write_private(&dir.join(name), &text);
    }
}

fn lay_out(dir: &Path, entries: &str) {
    let (data, shown) = (dir.join("data"), dir.display());
    fs::create_dir(&data).expect("a directory");
    crate::config::write_private(&dir.join("word"), &format!("{ADMIN_WORD}\n"));
    let config = format!(
        "include {SCHEMAS}/core.schema\ninclude {SCHEMAS}/cosine.schema\ninclude {SCHEMAS}/inetorgperson.schema\n\
         TLSCACertificateFile {shown}/ca.pem\nTLSCertificateFile {shown}/own.pem\nTLSCertificateKeyFile {shown}/own.key\n\
         pidfile {shown}/pid\nmodulepath {MODULES}\nmoduleload back_mdb\ndatabase mdb\nmaxsize 10485760\nsuffix \"dc=test\"\n\
         rootdn \"{ADMIN}\"\nrootpw \"{ADMIN_WORD}\"\ndirectory {}\ndbnosync\n",
        data.display()
    );
    fs::write(dir.join("slapd.conf"), config).expect("a configuration");
    let root = "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: test\n\n";
    fs::write(dir.join("entries.ldif"), format!("{root}{entries}")).expect("entries");
    let mut add = Command::new(SERVER);
    add.args(["-T", "add", "-f"]).arg(dir.join("slapd.conf")).arg("-l").arg(dir.join("entries.ldif"));
    let done = add.output().expect("slapd");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn run(dir: &Path, address: SocketAddr) -> Child {
    let mut slapd = Command::new(SERVER);
    // With a level of debugging it stays in the foreground.
    slapd
        .args(["-d", "0", "-h", &format!("ldap://{address} ldaps://{}", secure(address)), "-f"])
        .arg(dir.join("slapd.conf"));
    slapd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: one system call that touches no memory.
    unsafe {
        slapd.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
    slapd.spawn().expect("slapd")
}
