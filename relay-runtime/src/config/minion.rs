//! A minion's configuration, and how one file stands for many minions in one process.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use relay_core::{
    document::{Fields, Kind, Node, Position, Problem, Sink, read},
    identity::{FabricName, Identity, IdentityError, Role},
    ids::{MinionId, RegionName},
};
use serde_json::Value;

use super::{
    enrol::{self, EnrolConfig, Source},
    files,
    parts::{self, HeartbeatConfig, LogConfig, Parent, TlsConfig},
};

/// Most minions one process hosts: each takes a file descriptor or two of 20,000.
pub const MAX_MINIONS_PER_PROCESS: usize = 8_000;
/// How deep static grains may be nested.
const MAX_GRAIN_DEPTH: usize = 16;

/// What one minion is told.
#[derive(Debug, Clone, PartialEq)]
pub struct MinionConfig {
    /// Its id.
    pub id: MinionId,
    /// The region its certificate names.
    pub region: RegionName,
    /// The fabric.
    pub fabric: FabricName,
    /// Whom it dials, one at a time: the first that answers.
    pub parents: Vec<Parent>,
    /// In which order.
    pub parents_order: ParentsOrder,
    /// Where its journal lies.
    pub state_dir: PathBuf,
    /// Who it is and whom it believes. With [`MinionConfig::enrol`], the files that will be there once it has joined.
    pub tls: TlsConfig,
    /// How it gets those files from the fabric. Nothing: somebody else puts them there.
    pub enrol: Option<EnrolConfig>,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; loopback. Nothing: nowhere, since a minion needs no port.
    pub admin: Option<SocketAddr>,
    /// A YAML file with more static grains ([`super::load_grains`]); those of [`MinionConfig::grains`] win over them.
    pub grains_file: Option<PathBuf>,
    /// Static grains; they win over those of the machine.
    pub grains: BTreeMap<String, Value>,
    /// The machine's own file of what jobs may do here ([`super::load_allowance`]). Nothing: everything.
    pub policy: Option<PathBuf>,
    /// How the link proves that it is alive.
    pub heartbeat: HeartbeatConfig,
    /// What the log says.
    pub log: LogConfig,
}

/// In which order a minion dials its parents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ParentsOrder {
    /// First those that the fabric's topology places it on, which it is told; then those of the configuration, in their
    /// order. It moves to its primary when it is idle.
    #[default]
    Placed,
    /// As configured, whatever it is told (Salt's `master_type: failover`). It stays where it is as long as the link holds.
    Failover,
    /// The same, in an order that is random at each start (Salt's `random_master`).
    Shuffle,
}

const ORDERS: &[(&str, ParentsOrder)] = &[
    ("placed", ParentsOrder::Placed),
    ("failover", ParentsOrder::Failover),
    ("shuffle", ParentsOrder::Shuffle),
];

impl MinionConfig {
    /// Who it is. The loader has checked that the parts fit together.
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::new(self.id.as_str(), Role::Minion, self.region.clone(), self.fabric.clone())
    }
}

/// A minion's file as written, which may stand for many minions (`minion serve --count N`, for trials).
///
/// * `id` may hold `{n}`: the minion's number, zero padded to the width of the highest one (or to `number_width`),
///   counted from `first_number`. With `--count` above 1 and no `{n}`, the number is put at the end: `web` becomes
///   `web000` to `web999`.
/// * `{id}` in the paths of `tls` and `enrol`, in `grains_file` and in `policy` becomes the minion's id.
/// * a numbered minion's state lies in a directory of its own below `state_dir`, named by its id.
/// * the first minion has the `admin` address; the others have none.
#[derive(Debug, Clone, PartialEq)]
pub struct MinionTemplate {
    id: String,
    first_number: u64,
    number_width: usize,
    region: RegionName,
    fabric: FabricName,
    parents: Vec<Parent>,
    parents_order: ParentsOrder,
    state_dir: PathBuf,
    source: Source,
    admin: Option<SocketAddr>,
    grains_file: Option<PathBuf>,
    grains: BTreeMap<String, Value>,
    policy: Option<PathBuf>,
    heartbeat: HeartbeatConfig,
    log: LogConfig,
}

impl MinionTemplate {
    /// The configurations of `count` minions.
    pub fn expand(&self, count: usize) -> Result<Vec<MinionConfig>, Vec<Problem>> {
        if count == 0 || count > MAX_MINIONS_PER_PROCESS {
            let hint = format!("ask for 1 to {MAX_MINIONS_PER_PROCESS}, and start more processes for more");
            return Err(vec![Problem::anywhere(format!("one process cannot host {count} minions"), hint)]);
        }
        let minions = (0..count).map(|i| self.minion(i, count));
        minions.collect::<Result<Vec<_>, _>>().map_err(|e| {
            vec![Problem::anywhere(
                format!("{:?} makes no minion: {e}", self.id),
                "correct \"id\" or \"region\"",
            )]
        })
    }

    fn minion(&self, i: usize, count: usize) -> Result<MinionConfig, IdentityError> {
        let numbered = count > 1 || self.id.contains("{n}");
        let text = if numbered { self.numbered(i, count) } else { self.id.clone() };
        let id: MinionId = text.parse().map_err(|source| IdentityError::Part { part: "id", source })?;
        let own = |path: &PathBuf| PathBuf::from(path.to_string_lossy().replace("{id}", id.as_str()));
        let state_dir = if numbered { self.state_dir.join(id.as_str()) } else { self.state_dir.clone() };
        let (tls, enrol) = self.source.settle(&state_dir, own);
        let config = MinionConfig {
            region: self.region.clone(),
            fabric: self.fabric.clone(),
            parents: self.parents.clone(),
            parents_order: self.parents_order,
            state_dir,
            tls,
            enrol,
            admin: self.admin.filter(|_| i == 0),
            grains_file: self.grains_file.as_ref().map(own),
            grains: self.grains.clone(),
            policy: self.policy.as_ref().map(own),
            heartbeat: self.heartbeat,
            log: self.log,
            id,
        };
        config.identity().map(|_| config)
    }

    fn numbered(&self, i: usize, count: usize) -> String {
        let highest = self.first_number + count as u64 - 1;
        let width = self.number_width.max(highest.to_string().len());
        let number = format!("{:0width$}", self.first_number + i as u64);
        match self.id.contains("{n}") {
            true => self.id.replace("{n}", &number),
            false => format!("{}{number}", self.id),
        }
    }
}

pub(super) fn read(node: &Node, base: &Path, sink: &Sink) -> Option<(MinionTemplate, [Position; 3])> {
    let mut f = Fields::open(node, "a minion's configuration", sink)?;
    let id = f.need("id", template_id);
    let first_number = f.or("first_number", 0, read::number(0, 1_000_000_000));
    let number_width = f.or("number_width", 0, read::number(1, 12));
    let region = f.need("region", parts::region);
    let fabric = f.need("fabric", read::parsed);
    let parents = f.need("parents", parts::parents(Role::Syndic));
    let parents_order = f.or("parents_order", ParentsOrder::default(), read::word(ORDERS));
    let state_dir = f.need("state_dir", parts::path(base));
    let source = enrol::source(&mut f, base, sink);
    let admin = f.may("admin", parts::loopback);
    let grains_file = f.may("grains_file", parts::path(base));
    let grains = f.or("grains", BTreeMap::new(), grains);
    let policy = f.may("policy", parts::path(base));
    let heartbeat = f.or("heartbeat", HeartbeatConfig::default(), parts::heartbeat);
    let log = f.or("log", LogConfig::default(), parts::log);
    let places = ["id", "grains_file"].map(|key| f.at_key(key));
    f.close();
    let (source, source_at) = source?;
    let template = MinionTemplate {
        id: id?,
        first_number: first_number?,
        number_width: number_width? as usize,
        region: region?,
        fabric: fabric?,
        parents: parents?,
        parents_order: parents_order?,
        state_dir: state_dir?,
        source,
        admin: admin?,
        grains_file: grains_file?,
        grains: grains?,
        policy: policy?,
        heartbeat: heartbeat?,
        log: log?,
    };
    Some((template, [places[0], source_at, places[1]]))
}

/// Reads a file, expands it and looks at every minion's certificate.
pub(super) fn read_all(node: &Node, base: &Path, sink: &Sink, count: usize) -> Option<Vec<MinionConfig>> {
    let (template, [id_at, tls_at, grains_at]) = read(node, base, sink)?;
    match template.expand(count) {
        Ok(minions) => {
            // Who joins has none yet, and looks at what it has when it starts.
            let given = minions.iter().filter(|m| m.enrol.is_none());
            files::check_many(given.map(|m| (&m.tls, m.identity())), tls_at, sink);
            check_grains_files(&minions, grains_at, sink);
            Some(minions)
        }
        Err(problems) => {
            problems.into_iter().for_each(|p| sink.note(Problem { at: Some(id_at), ..p }));
            None
        }
    }
}

/// An id, or one with `{n}` in it: checked with a number in its place.
fn template_id(node: &Node, sink: &Sink) -> Option<String> {
    read::with(node, sink, |text| text.replace("{n}", "0").parse::<MinionId>().map(|_| text.to_owned()))
}

/// A map of static grains: inside the configuration, or a grains file as a whole.
pub(super) fn grains(node: &Node, sink: &Sink) -> Option<BTreeMap<String, Value>> {
    let entries = read::map("grains", |n, s| grain(n, s, 0))(node, sink)?;
    Some(entries.into_iter().collect())
}

/// Looks at each grains file once; its own problems are told at the place that names it.
fn check_grains_files(minions: &[MinionConfig], at: Position, sink: &Sink) {
    let files: BTreeSet<&PathBuf> = minions.iter().filter_map(|m| m.grains_file.as_ref()).collect();
    for errors in files.into_iter().filter_map(|file| super::load_grains(file).err()) {
        for problem in &errors.problems {
            let file = errors.file.display().to_string();
            let place = problem.at.map(|p| format!(":{p}")).unwrap_or_default();
            sink.note(Problem::error(at, format!("{file}{place}: {}", problem.what), problem.hint.clone()));
        }
    }
}

/// A static grain: quoted is text; a plain number or boolean is one.
fn grain(node: &Node, sink: &Sink, depth: usize) -> Option<Value> {
    if depth > MAX_GRAIN_DEPTH {
        return sink.refuse(
            node.at,
            "grains are nested too deep",
            format!("use at most {MAX_GRAIN_DEPTH} levels"),
        );
    }
    match &node.kind {
        _ if node.is_empty() => Some(Value::Null),
        Kind::Scalar { text, quoted: true } => Some(Value::String(text.clone())),
        Kind::Scalar { text, .. } => Some(plain(text)),
        Kind::List(nodes) => {
            nodes.iter().map(|n| grain(n, sink, depth + 1)).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        Kind::Map(_) => {
            let entries = read::map("a grain", |n, s| grain(n, s, depth + 1))(node, sink)?;
            Some(Value::Object(entries.into_iter().collect()))
        }
    }
}

/// YAML 1.2's reading of a plain word (JSON's, in effect): booleans and numbers; all else is text.
fn plain(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}
