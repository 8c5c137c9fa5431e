//! A target for certain minions and nobody else.

use anyhow::bail;
use relay_core::{compact::compact, target::Target};

/// The target that is exactly these ids: a list, or range sets where a list would be too long.
///
/// # Errors
/// There are none, or their names are too many for one target.
pub fn exact(ids: &[&str]) -> anyhow::Result<Target> {
    if let Ok(list) = Target::list(ids.iter().copied()) {
        return Ok(list);
    }
    let compact = compact(ids.iter().copied());
    let ranges = parts(&compact).join(" or ");
    match Target::parse(&ranges) {
        Ok(target) => Ok(target),
        Err(_) => bail!(
            "{} minions: their names are more than a target can hold; write a target for them, and run it with \"relayctl run\"",
            ids.len()
        ),
    }
}

/// The parts of a compact list: between commas that are not in brackets.
fn parts(compact: &str) -> Vec<&str> {
    let mut depth = 0;
    let between = |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    compact.split(between).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_a_list_and_many_are_ranges() {
        assert_eq!(exact(&["b", "a"]).unwrap().to_string(), "L@b,a");
        let many: Vec<String> = (1..=900).map(|n| format!("web{n:03}")).chain(["db1".to_owned()]).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(exact(&many).unwrap().to_string(), "db1 or web[001-900]");
        assert!(exact(&[]).is_err());
    }

    #[test]
    fn too_many_names_are_refused() {
        // Nothing that a range could hold.
        let wild: Vec<String> =
            (0..900_u32).map(|n| format!("{:x}q", n.wrapping_mul(2_654_435_761))).collect();
        let wild: Vec<&str> = wild.iter().map(String::as_str).collect();
        assert!(exact(&wild).unwrap_err().to_string().starts_with("900 minions: their names"));
    }

    #[test]
    fn commas_in_brackets_part_nothing() {
        assert_eq!(parts("a[1,3-5],b,c[2]"), ["a[1,3-5]", "b", "c[2]"]);
    }
}
