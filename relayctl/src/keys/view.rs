//! Who has asked, for people and for programs.

use relay_proto::trust::Key;
use serde_json::{Value, json};

use crate::{output::clean, when};

/// For programs.
pub fn data(key: &Key) -> Value {
    let rivals = key.rivals.iter().map(|rival| {
        json!({"fingerprint": rival.fingerprint, "from": rival.from, "asked": when::moment(rival.asked)})
    });
    json!({
        "id": key.id,
        "role": key.role,
        "region": key.region,
        "state": key.state,
        "fingerprint": key.fingerprint,
        "uid": (key.uid != 0).then(|| format!("{:016x}", key.uid)),
        "generation": key.generation,
        "asked": when::moment(key.asked),
        "decided": when::moment(key.decided),
        "by": some(&key.by),
        "from": key.from,
        "via": some(&key.via),
        "software": key.software,
        "until": when::moment(key.until),
        "why": some(&key.why),
        "rivals": rivals.collect::<Vec<Value>>(),
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// In a table.
pub fn row(key: &Key) -> [String; 7] {
    let rivals =
        if key.rivals.is_empty() { String::new() } else { format!(" (+{} other keys)", key.rivals.len()) };
    [
        clean(&key.id),
        key.role.clone(),
        clean(&key.region),
        format!("{}{rivals}", key.state),
        key.fingerprint.clone(),
        when::moment(key.asked).unwrap_or_default(),
        clean(&key.from),
    ]
}

/// With everything, for people.
pub fn text(key: &Key) -> String {
    let mut lines = vec![
        format!("{} ({} of region {}): {}", key.id, key.role, key.region, key.state),
        format!("  fingerprint  {}", key.fingerprint),
    ];
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {name:<11}  {text}"));
        }
    };
    line("why", key.why.clone());
    let via = if key.via.is_empty() { String::new() } else { format!(" by way of {}", key.via) };
    line("asked", format!("{}, from {}{via}", when::moment(key.asked).unwrap_or_default(), key.from));
    line("software", key.software.clone());
    line("decided", decided(key));
    if key.uid != 0 {
        line("certificate", format!("number {} of enrolment {:016x}", key.generation, key.uid));
        line("until", when::moment(key.until).unwrap_or_default());
    }
    for rival in &key.rivals {
        let asked = when::moment(rival.asked).unwrap_or_default();
        line("other key", format!("{}, asked {asked}, from {}", rival.fingerprint, rival.from));
    }
    clean(&lines.join("\n"))
}

fn decided(key: &Key) -> String {
    match when::moment(key.decided).filter(|_| key.decided != 0) {
        Some(at) if key.by.is_empty() => at,
        Some(at) => format!("{at} by {}", key.by),
        None => String::new(),
    }
}
