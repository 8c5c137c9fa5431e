//! Command lines that Salt reads otherwise than they were meant.
//!
//! The one that matters: a target option takes no value, so with `-C EXPRESSION '*' test.ping` the star becomes the
//! function and `test.ping` its argument. Salt sends that. Here it is refused, with what was probably meant.

use super::{options::Parsed, target::MATCHERS, words::quoted};

/// Why a command line is refused, if it is one of those. `line` is all of it, without the program's name.
pub fn misread(read: &Parsed, line: &[String]) -> Option<String> {
    let [target, function, args @ ..] = read.words.as_slice() else { return None };
    if function.contains(',') {
        return Some(format!(
            "{function:?} are several functions: one job runs one function, so run them one after the other"
        ));
    }
    if is_name(function) {
        return None;
    }
    let shown = quoted(function);
    match (read.last_of(&MATCHERS), args.first()) {
        (Some(matcher), Some(next)) if is_name(next) && next.contains('.') => Some(format!(
            "{shown} stands where the function belongs: --{matcher} makes {} the target, and nothing else is one; \
             probably meant: salt {}",
            quoted(target),
            without(line, target, function),
        )),
        _ => Some(format!(
            "{shown} is no function's name; write salt [options] TARGET FUNCTION [ARGUMENTS], as in salt '*' test.ping"
        )),
    }
}

/// Whether a function can have that name, though perhaps none has.
fn is_name(word: &str) -> bool {
    let starts = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}

/// The command line without the word that is too many: the first of its kind behind the target.
fn without(line: &[String], target: &str, extra: &str) -> String {
    let place = line.iter().position(|w| w == target).unwrap_or(0);
    let at = line.iter().enumerate().skip(place + 1).find(|(_, w)| *w == extra).map(|(i, _)| i);
    let kept = line.iter().enumerate().filter(|(i, _)| Some(*i) != at);
    kept.map(|(_, w)| quoted(w)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salt::flags;

    fn told(line: &[&str]) -> Option<String> {
        let line: Vec<String> = line.iter().map(|w| (*w).to_owned()).collect();
        misread(&Parsed::read(&line, &flags::salt()).unwrap(), &line)
    }

    #[test]
    fn the_line_of_the_documents_is_refused() {
        let text = told(&["-C", "G@os_family:RedHat", "-b", "50", "*", "test.ping"]).unwrap();
        assert_eq!(
            text,
            "'*' stands where the function belongs: --compound makes G@os_family:RedHat the target, and nothing else \
             is one; probably meant: salt -C G@os_family:RedHat -b 50 test.ping"
        );
    }

    #[test]
    fn only_the_word_too_many_is_left_out() {
        let text = told(&["-b", "*", "-G", "os:*", "-v", "*", "cmd.run", "*"]).unwrap();
        assert!(text.ends_with("probably meant: salt -b '*' -G 'os:*' -v cmd.run '*'"), "{text}");
    }

    #[test]
    fn other_words_that_are_no_function() {
        assert!(told(&["*", "web*"]).unwrap().contains("is no function's name"));
        assert!(told(&["*", "a b", "test.ping"]).unwrap().contains("'a b' is no function's name"));
        assert!(told(&["*", "test.ping,cmd.run", ",", "id"]).unwrap().contains("several functions"));
    }

    #[test]
    fn what_is_right_is_let_through() {
        for line in [
            &["*", "test.ping"][..],
            &["-C", "a and b", "cmd.run", "*"],
            &["*", "nosuchfunction"],
            &["*"],
            &["-L", "a,b", "state.apply", "web.server"],
        ] {
            assert_eq!(told(line), None, "{line:?}");
        }
    }
}
