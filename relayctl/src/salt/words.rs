//! Words that are near each other, for "did you mean", and words as a shell wants them quoted.

/// How many letters may be missing, too many, other or exchanged: more is another word.
const NEAR: usize = 3;

/// The nearest of some words, if one is near. The part behind the last dot counts alone as well, so that `job.active` and
/// `jobs.list` find what was meant.
pub fn nearest<'a>(word: &str, of: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |w: &str| w.rsplit('.').next().unwrap_or_default().to_owned();
    let rank = |candidate: &str| {
        let whole = distance(word, candidate);
        let begins = last(candidate).starts_with(&last(word)) && !last(word).is_empty();
        let near = if begins || last(candidate) == last(word) { whole.min(NEAR) } else { whole };
        (near, whole)
    };
    of.into_iter().map(|w| (rank(w), w)).filter(|((near, _), _)| *near <= NEAR).min().map(|(_, w)| w)
}

/// Damerau's distance, restricted: two letters that changed places count once.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let other = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (row[j] + 1).min(next[j - 1] + 1).min(row[j - 1] + other);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        (before, row) = (row, next);
    }
    row[b.len()]
}

/// A word as a shell takes it unchanged.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '=' | ':' | ',' | '%' | '@' | '+')
    };
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 8] = [
        "manage.status",
        "manage.up",
        "jobs.active",
        "jobs.list_jobs",
        "jobs.list_job",
        "jobs.lookup_jid",
        "jobs.print_job",
        "jobs.exit_success",
    ];

    #[test]
    fn what_was_meant() {
        for (written, meant) in [
            ("jobs.actvie", Some("jobs.active")),
            ("job.active", Some("jobs.active")),
            ("jobs.acive", Some("jobs.active")),
            ("jobs.list", Some("jobs.list_job")),
            ("manage.stats", Some("manage.status")),
            ("jobs.lookup", Some("jobs.lookup_jid")),
            ("jobs.lookup_jobs", Some("jobs.lookup_jid")),
            ("cloud.profile", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, WORDS), meant, "{written}");
        }
    }

    #[test]
    fn a_shell_takes_quoted_words_unchanged() {
        for (word, shown) in
            [("web01", "web01"), ("*", "'*'"), ("", "''"), ("it's", r"'it'\''s'"), ("a b", "'a b'")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}
