//! Splitting a command line into words as a POSIX shell does, for commands that run without a shell.
//!
//! Quotes and backslashes only, as Python's `shlex.split` (what Salt uses): no expansion of any kind.

/// Splits a line into words. `None` if a quote is not closed, or a backslash stands last.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => single_quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

fn single_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '\'' => return Some(()),
            c => word.push(c),
        }
    }
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_shlex_does() {
        for (line, words) in [
            ("", &[][..]),
            ("  ls   -l ", &["ls", "-l"]),
            (r#"a 'b c' "d e""#, &["a", "b c", "d e"]),
            (r#"a'b'"c"d"#, &["abcd"]),
            (r#"'' """#, &["", ""]),
            (r"a\ b \'", &["a b", "'"]),
            (r#""a\"b\c" 'a\b'"#, &[r#"a"b\c"#, r"a\b"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
        for bad in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(bad), None, "{bad:?}");
        }
    }
}
