//! TLS, our certificate, user and password: who is let in, and what is said to who is not.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use etcd_client::{Certificate, ConnectOptions, Identity, Permission, PermissionType, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

/// Files that a test's etcd and its clients use.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        for name in ["ca", "other"] {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            files.write(&format!("{name}.crt"), &ca.pem());
            if name == "ca" {
                files.issue("server", &ca);
                files.issue("client", &ca);
            }
        }
        files.write("password", "hush\n");
        files.write("wrong", "hash\n");
        files
    }

    fn issue(&self, name: &str, ca: &CertifiedIssuer<'_, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        self.write(&format!("{name}.crt"), &params.signed_by(&key, ca).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn server(&self) -> Server {
        let setting = |option: &str, file: &str| [option.to_owned(), self.path(file).display().to_string()];
        let mut settings: Vec<String> = [
            setting("--cert-file", "server.crt"),
            setting("--key-file", "server.key"),
            setting("--trusted-ca-file", "ca.crt"),
        ]
        .concat();
        settings.push("--client-cert-auth".into());
        Server::secured(&settings)
    }

    /// As the operator of etcd.
    async fn root(&self, server: &Server) -> etcd_client::Client {
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(self.read("ca.crt")))
            .identity(Identity::from_pem(self.read("client.crt"), self.read("client.key")));
        let options = ConnectOptions::new().with_tls(tls);
        etcd_client::Client::connect([format!("https://{}", server.place())], Some(options)).await.unwrap()
    }
}

/// A user that may do everything below one prefix, and nothing else.
async fn let_in(root: &mut etcd_client::Client) {
    root.role_add("relay").await.unwrap();
    let below = Permission::new(PermissionType::Readwrite, "/relay/").with_prefix();
    root.role_grant_permission("relay", below).await.unwrap();
    for (user, role) in [("root", "root"), ("relay", "relay")] {
        root.user_add(user, "hush", None).await.unwrap();
        root.user_grant_role(user, role).await.unwrap();
    }
    root.auth_enable().await.unwrap();
}

#[tokio::test]
async fn only_who_has_certificate_user_password_and_right_is_let_in() {
    if !server::is_here() {
        return;
    }
    let files = Files::new();
    let server = files.server();
    let tls = EtcdTls {
        ca: files.path("ca.crt"),
        identity: Some((files.path("client.crt"), files.path("client.key"))),
    };
    let login = EtcdLogin { user: "relay".into(), password_file: files.path("password") };
    let open = EtcdConfig { tls: Some(tls.clone()), ..server.config("/relay/acme.example") };
    answers(&Etcd::connect(&open).unwrap()).await;
    let_in(&mut files.root(&server).await).await;

    let right = EtcdConfig { login: Some(login.clone()), ..open.clone() };
    let running = running(&right).await;
    let lease = running.etcd.grant(60_000).await.unwrap();
    let (_, mut watch) = running.etcd.watch(Area::All).await.unwrap();
    running.etcd.put(syndic("a"), value("v"), Some(lease)).await.unwrap();
    assert_eq!(next_put(&mut watch).await, syndic("a"));
    // Its tokens die with it; a new one is got for the password.
    server.kill();
    server.restart();
    answers(&running.etcd).await;
    running.etcd.keep_alive(lease).await.unwrap();
    running.etcd.put(syndic("b"), value("v"), Some(lease)).await.unwrap();
    assert_eq!(next_put(&mut watch).await, syndic("b"));

    let wrong_password = EtcdLogin { password_file: files.path("wrong"), ..login };
    let foreign = EtcdTls { ca: files.path("other.crt"), ..tls.clone() };
    for (config, said) in [
        (EtcdConfig { login: Some(wrong_password), ..right.clone() }, "invalid user ID or password"),
        (EtcdConfig { prefix: "/elsewhere".into(), ..right.clone() }, "permission denied"),
        (open.clone(), "permission denied"),
        (EtcdConfig { tls: Some(EtcdTls { identity: None, ..tls }), ..right.clone() }, "https://127.0.0.1"),
        (EtcdConfig { tls: Some(foreign), ..right.clone() }, "invalid peer certificate"),
    ] {
        let refused = Etcd::connect(&config).unwrap().list(Area::All).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{said}: {refused}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let files = Files::new();
    let tls = EtcdTls { ca: files.path("none.crt"), identity: None };
    let config = EtcdConfig {
        endpoints: vec!["127.0.0.1:1".parse().unwrap()],
        prefix: "/relay".into(),
        tls: Some(tls),
        login: None,
    };
    let error = Etcd::connect(&config).err().unwrap().to_string();
    assert!(error.contains("none.crt"), "{error}");
}
