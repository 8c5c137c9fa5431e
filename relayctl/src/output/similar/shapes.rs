//! How addresses, times, ids and numbers look. Each function is given the bytes from where one may begin, and says how
//! many of them it takes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest token that is looked for, in bytes: a SHA-512 in pairs with colons has 191. Bounds what is looked at again.
pub const LONGEST: usize = 192;
/// Fewest digits of a hash or an id; shorter ones are more often words (`add`, `face`).
const SHORTEST_HEX: usize = 7;
/// Fewest pairs of a MAC address or a fingerprint.
const FEWEST_PAIRS: usize = 6;
/// Where the dashes of a UUID are.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

/// Whether the word goes on at `at`.
pub fn continues(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// How many bytes from `at` on are of a kind; at most as many as a token may have.
fn run(text: &[u8], at: usize, of: impl Fn(u8) -> bool) -> usize {
    text.iter().skip(at).take(LONGEST + 1).take_while(|b| of(**b)).count()
}

fn digits(text: &[u8], at: usize) -> usize {
    run(text, at, |b| b.is_ascii_digit())
}

fn is_hex(b: u8) -> bool {
    b.is_ascii_hexdigit()
}

/// A number: digits, perhaps with a fraction, an exponent and (where the place allows one) a sign.
pub fn number(text: &[u8], signed: bool) -> Option<usize> {
    let sign = usize::from(signed && text.first() == Some(&b'-'));
    let whole = text.iter().skip(sign).take_while(|b| b.is_ascii_digit()).count();
    if whole == 0 {
        return None;
    }
    let mut end = sign + whole;
    if text.get(end) == Some(&b'.') && digits(text, end + 1) > 0 {
        end += 1 + text[end + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    }
    Some(end + exponent(text, end))
}

fn exponent(text: &[u8], at: usize) -> usize {
    let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
    let power = digits(text, at + 1 + sign);
    let is_one = matches!(text.get(at), Some(b'e' | b'E')) && (1..=3).contains(&power);
    let end = 1 + sign + power;
    if is_one && !continues(text, at + end) { end } else { 0 }
}

/// An address without its port or prefix length.
pub fn ip(text: &[u8]) -> Option<usize> {
    let dotted = run(text, 0, |b| b.is_ascii_digit() || b == b'.');
    let dotted = trimmed(text, dotted);
    if dotted >= 7 && !continues(text, dotted) && parse::<Ipv4Addr>(&text[..dotted]) {
        return Some(dotted);
    }
    let colons = run(text, 0, |b| is_hex(b) || b == b':' || b == b'.');
    let end = trimmed(text, colons);
    // The shortest, "::", ends with colons of its own.
    let end = if text[..end].ends_with(b":") || end == 0 { colons } else { end };
    (text[..end].contains(&b':') && !continues(text, end) && parse::<Ipv6Addr>(&text[..end])).then_some(end)
}

/// Without a colon or a full stop that belongs to the sentence.
fn trimmed(text: &[u8], end: usize) -> usize {
    match text[..end] {
        [.., last, b':' | b'.'] if last != b':' => end - 1,
        _ => end,
    }
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok())
}

/// A UUID, pairs as in a MAC address, or a long hexadecimal number.
pub fn hex(text: &[u8]) -> Option<usize> {
    let found = prefixed(text).or_else(|| uuid(text)).or_else(|| pairs(text)).or_else(|| plain(text))?;
    (found <= LONGEST && !continues(text, found)).then_some(found)
}

fn prefixed(text: &[u8]) -> Option<usize> {
    let length = run(text, 2, is_hex);
    (text.starts_with(b"0x") && length > 0).then_some(2 + length)
}

fn uuid(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for (i, length) in UUID.into_iter().enumerate() {
        if i > 0 {
            (text.get(at) == Some(&b'-')).then_some(())?;
            at += 1;
        }
        (run(text, at, is_hex) == length).then_some(())?;
        at += length;
    }
    Some(at)
}

fn pairs(text: &[u8]) -> Option<usize> {
    let between = *text.get(2).filter(|b| matches!(b, b':' | b'-'))?;
    let (mut at, mut count) = (0, 0);
    while at < LONGEST && run(text, at, is_hex) == 2 {
        (at, count) = (at + 2, count + 1);
        if text.get(at) != Some(&between) {
            break;
        }
        at += 1;
    }
    let end = if text[..at].ends_with(&[between]) { at - 1 } else { at };
    (count >= FEWEST_PAIRS).then_some(end)
}

fn plain(text: &[u8]) -> Option<usize> {
    let length = run(text, 0, is_hex);
    let has = |of: fn(&u8) -> bool| text[..length].iter().any(of);
    let is_id = length >= SHORTEST_HEX && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    is_id.then_some(length)
}

/// A date, a time of day, or a date with a time.
pub fn time(text: &[u8]) -> Option<usize> {
    let end = iso(text).or_else(|| named(text)).or_else(|| clock(text, 0))?;
    (!continues(text, end)).then_some(end)
}

/// `2026-11-21`, and what may follow it.
fn iso(text: &[u8]) -> Option<usize> {
    let between = *text.get(4).filter(|b| matches!(b, b'-' | b'/'))?;
    let date =
        digits(text, 0) == 4 && digits(text, 5) == 2 && text.get(7) == Some(&between) && digits(text, 8) == 2;
    if !date {
        return None;
    }
    let time = text.get(10).filter(|b| matches!(b, b'T' | b' ')).and_then(|_| clock(text, 11));
    Some(time.unwrap_or(10))
}

/// `10:51`, `10:51:08.123+01:00`: where it ends if it begins at `at`.
fn clock(text: &[u8], at: usize) -> Option<usize> {
    let hours = digits(text, at);
    let minutes = at + hours;
    if !(1..=2).contains(&hours) || text.get(minutes) != Some(&b':') || digits(text, minutes + 1) != 2 {
        return None;
    }
    let mut end = minutes + 3;
    if text.get(end) == Some(&b':') && digits(text, end + 1) == 2 {
        end += 3;
        if matches!(text.get(end), Some(b'.' | b',')) && (1..=9).contains(&digits(text, end + 1)) {
            end += 1 + digits(text, end + 1);
        }
    }
    // A third and fourth pair belong to something else: an address, a fingerprint.
    let goes_on = text.get(end) == Some(&b':') && text.get(end + 1).is_some_and(|b| is_hex(*b));
    (!goes_on).then(|| end + zone(text, end))
}

/// `Z`, `+01:00`, `+0100`.
fn zone(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'Z') => 1,
        Some(b'+' | b'-') => match digits(text, at + 1) {
            4 => 5,
            2 if text.get(at + 3) == Some(&b':') && digits(text, at + 4) == 2 => 6,
            _ => 0,
        },
        _ => 0,
    }
}

/// `Nov 21 10:51:08`, `Sat Nov 21 10:51:08 UTC 2026`, `Sat, 21 Nov 2026 10:51:08 +0000`.
fn named(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    if one_of(&DAYS, text, 0) {
        at = if text.get(3) == Some(&b',') { 4 } else { 3 };
        at += blank(text, at)?;
    }
    let (date, has_year) = match month_day(text, at) {
        Some(end) => (end, false),
        None => (day_month(text, at)?, true),
    };
    let Some(time) = after(text, date, |at| clock(text, at)) else {
        // Without a time of day it is a date only with a year: "May 5" may be anybody's.
        return if has_year { Some(date) } else { after(text, date, |at| year(text, at)) };
    };
    let offset = |at| Some(at + zone(text, at)).filter(|end| *end > at);
    let zone =
        after(text, time, offset).or_else(|| after(text, time, |at| letters(text, at))).unwrap_or(time);
    Some(after(text, zone, |at| year(text, at)).unwrap_or(zone))
}

fn one_of(names: &[&[u8]], text: &[u8], at: usize) -> bool {
    text.get(at..at + 3).is_some_and(|word| names.contains(&word))
}

/// One or two blanks: a day of one digit is lined up.
fn blank(text: &[u8], at: usize) -> Option<usize> {
    Some(run(text, at, |b| b == b' ')).filter(|n| (1..=2).contains(n))
}

fn after(text: &[u8], at: usize, next: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    next(at + blank(text, at)?)
}

fn day(text: &[u8], at: usize) -> Option<usize> {
    Some(digits(text, at)).filter(|n| (1..=2).contains(n)).map(|n| at + n)
}

fn month_day(text: &[u8], at: usize) -> Option<usize> {
    if !one_of(&MONTHS, text, at) {
        return None;
    }
    after(text, at + 3, |at| day(text, at))
}

fn day_month(text: &[u8], at: usize) -> Option<usize> {
    let month = after(text, day(text, at)?, |at| one_of(&MONTHS, text, at).then_some(at + 3))?;
    after(text, month, |at| year(text, at))
}

fn year(text: &[u8], at: usize) -> Option<usize> {
    (digits(text, at) == 4 && !continues(text, at + 4)).then_some(at + 4)
}

/// A time zone's letters.
fn letters(text: &[u8], at: usize) -> Option<usize> {
    let length = run(text, at, |b| b.is_ascii_uppercase());
    ((3..=5).contains(&length) && !continues(text, at + length)).then_some(at + length)
}
