//! What several top masters share, and the trial fabric does not bring along: an etcd and a PostgreSQL database.
//!
//! Owns the options that name them, what configurations say of them, and the look whether the database is empty. What is
//! allowed there is the configuration's to check.

use std::{path::PathBuf, str::FromStr, time::SystemTime};

use anyhow::{Context as _, bail};
use clap::Args;
use relay_runtime::store::{JobFilter, PostgresConfig, PostgresStore, Store as _, postgres::Transport};
use serde_json::{Map, Value, json};

use super::plan::Tops;

/// PostgreSQL's own default.
const USUAL_PORT: u16 = 5432;
/// Who we are to a database, and what it is called, if that is not said.
const USUAL_NAME: &str = "relay";
/// How the database is written.
const FORMS: &str = "write the directory of its socket, or postgres://USER@HOST:PORT/DATABASE";

/// Where it is.
#[derive(Debug, Clone, Default, Args)]
pub struct SharedArgs {
    /// An etcd on this machine where top masters find each other: then all that the topology names are started
    #[arg(long, value_name = "URL", value_delimiter = ',', requires = "postgres")]
    etcd: Vec<String>,
    /// An empty PostgreSQL database on this machine as their store: its socket's directory, or postgres://USER@HOST:PORT/DATABASE
    #[arg(long, value_name = "DIR|URL")]
    postgres: Option<Database>,
    /// A file with the database user's password
    #[arg(long, value_name = "FILE", requires = "postgres")]
    postgres_password_file: Option<PathBuf>,
}

impl SharedArgs {
    /// Which top masters can be started.
    pub fn tops(&self) -> Tops {
        if self.etcd.is_empty() { Tops::First } else { Tops::All }
    }

    /// Looks whether the database can be had and is empty, as everything of a new fabric is.
    ///
    /// # Errors
    /// It cannot be had, or it holds what another fabric did.
    pub async fn check_empty(&self) -> anyhow::Result<()> {
        let Some(database) = &self.postgres else { return Ok(()) };
        let config = self.config(database)?;
        let store = PostgresStore::open(&config).await?;
        let (revisions, jobs) =
            (store.revisions(1, None).await, store.jobs(JobFilter::default(), 1, None).await);
        store.close().await;
        if !revisions?.is_empty() || !jobs?.is_empty() {
            bail!(
                "{config} is the store of another fabric, or of an earlier \"dev up\": name an empty database, or remove \
                 what is there (psql: DROP SCHEMA relay CASCADE)"
            );
        }
        Ok(())
    }

    fn config(&self, database: &Database) -> anyhow::Result<PostgresConfig> {
        let Database { host, port, database, user } = database.clone();
        let password_file = self.password_file()?;
        Ok(PostgresConfig { host, port, database, user, password_file, transport: Transport::Local })
    }

    fn password_file(&self) -> anyhow::Result<Option<PathBuf>> {
        let whole = |file: &PathBuf| std::path::absolute(file).context("the password's file");
        self.postgres_password_file.as_ref().map(whole).transpose()
    }

    /// What a top master's configuration says of it, by its keys: nothing, where nothing is shared.
    ///
    /// # Errors
    /// The password's file is nowhere.
    pub fn settings(&self, fabric: &str) -> anyhow::Result<Map<String, Value>> {
        let mut settings = Map::new();
        if !self.etcd.is_empty() {
            // Keys of its own: what an earlier trial fabric wrote there is none of ours.
            let begun = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
            let etcd = json!({"endpoints": self.etcd, "prefix": format!("/relay/{fabric}/dev-{begun}")});
            settings.insert("registry".into(), json!({"etcd": etcd}));
        }
        if let Some(Database { host, port, database, user }) = &self.postgres {
            let mut postgres = json!({"host": host, "port": port, "database": database, "user": user});
            if let Some(file) = self.password_file()? {
                postgres["password_file"] = json!(file);
            }
            settings.insert("store".into(), json!({"postgres": postgres}));
        }
        Ok(settings)
    }
}

/// A PostgreSQL database as the command line names it. No password stands there, where everybody on the machine would see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Database {
    host: String,
    port: u16,
    database: String,
    user: String,
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Database, String> {
        let of = |host: &str, port| Database {
            host: host.into(),
            port,
            database: USUAL_NAME.into(),
            user: USUAL_NAME.into(),
        };
        if text.starts_with('/') {
            return Ok(of(text, USUAL_PORT));
        }
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| format!("{text:?} is no database: {FORMS}"))?;
        let (place, database) = rest.split_once('/').unwrap_or((rest, USUAL_NAME));
        let (user, place) = place.rsplit_once('@').unwrap_or((USUAL_NAME, place));
        if user.contains(':') {
            return Err("a password is not written here: put it into a file, and name that by --postgres-password-file".into());
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !place.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("{port:?} is no port: {FORMS}"))?)
            }
            _ => (place, USUAL_PORT),
        };
        // As PostgreSQL's own programs take it: a socket's directory, with its slashes written so.
        let host = host.trim_matches(['[', ']']).replace("%2F", "/").replace("%2f", "/");
        if [&host, user, database].iter().any(|part| part.is_empty()) || database.contains(['/', '?']) {
            return Err(format!("{text:?} names no database: {FORMS}"));
        }
        Ok(Database { database: database.into(), user: user.into(), ..of(&host, port) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_as_people_write_them() {
        for (text, host, port, database, user) in [
            ("/run/postgresql", "/run/postgresql", 5432, "relay", "relay"),
            ("postgres://me@localhost:5433/trial", "localhost", 5433, "trial", "me"),
            ("postgresql://127.0.0.1", "127.0.0.1", 5432, "relay", "relay"),
            ("postgres://me@[::1]:5433/trial", "::1", 5433, "trial", "me"),
            ("postgres://[::1]/trial", "::1", 5432, "trial", "relay"),
            ("postgres://me@%2Frun%2Fpostgresql/trial", "/run/postgresql", 5432, "trial", "me"),
        ] {
            let expected = Database { host: host.into(), port, database: database.into(), user: user.into() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for (text, told) in [
            ("relay", "is no database"),
            ("postgres://me:secret@localhost/trial", "password"),
            ("postgres://me@localhost:x/trial", "\"x\" is no port"),
            ("postgres:///trial", "names no database"),
            ("postgres://@localhost/trial", "names no database"),
            ("postgres://localhost/trial?sslmode=off", "names no database"),
        ] {
            let error = text.parse::<Database>().unwrap_err();
            assert!(error.contains(told) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shared_decides_who_is_started_and_what_is_written() {
        let alone = SharedArgs::default();
        assert_eq!((alone.tops(), alone.settings("f").unwrap().len()), (Tops::First, 0));
        let shared = SharedArgs {
            etcd: vec!["http://127.0.0.1:2379".into()],
            postgres: Some("/run/postgresql".parse().unwrap()),
            postgres_password_file: None,
        };
        assert_eq!(shared.tops(), Tops::All);
        let settings = shared.settings("acme.example").unwrap();
        let etcd = &settings["registry"]["etcd"];
        assert_eq!(etcd["endpoints"], json!(["http://127.0.0.1:2379"]));
        assert!(etcd["prefix"].as_str().unwrap().starts_with("/relay/acme.example/dev-"));
        let postgres = json!({"host": "/run/postgresql", "port": 5432, "database": "relay", "user": "relay"});
        assert_eq!(settings["store"], json!({ "postgres": postgres }));
    }
}
