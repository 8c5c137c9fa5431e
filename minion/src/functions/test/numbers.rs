//! `test.*` that computes something: work whose result everybody can check.

use std::time::Instant;

use serde_json::{Value, json};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::functions::{
    Call, Context, Function, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, may, must},
};

/// The last Fibonacci number that a JSON number of 64 bits holds.
const LAST_FIB: i64 = 93;
/// Salt's bound of random numbers where none is asked for.
const DEFAULT_SIZE: i64 = 9_999_999_999;

pub(in crate::functions) const FIB: Function = Function {
    name: "test.fib",
    usage: "test.fib NUM",
    doc: "Return the NUM-th Fibonacci number (0 to 93), and the seconds that it took.\n\nrelayctl run '*' test.fib 3",
    parameters: Parameters { placed: &[must("num", Kind::Integer)], ..NOTHING },
    start: Start::Value(fib),
};

pub(in crate::functions) const COLLATZ: Function = Function {
    name: "test.collatz",
    usage: "test.collatz START",
    doc: "Return the Collatz steps from START (1 or more) down to 1, without it, and the seconds that it took.\n\n\
          relayctl run '*' test.collatz 3",
    parameters: Parameters { placed: &[must("start", Kind::Integer)], ..NOTHING },
    start: Start::Value(collatz),
};

/// What random hashes are made of.
const SIZE_AND_TYPE: Parameters =
    Parameters { placed: &[may("size", Kind::Integer), may("hash_type", Kind::Text)], ..NOTHING };

pub(in crate::functions) const RANDOM_HASH: Function = Function {
    name: "test.random_hash",
    usage: "test.random_hash [SIZE] [hash_type=sha256]",
    doc: "Return the hash of a random number from 1 to SIZE: sha224, sha256, sha384 or sha512, in hex.\n\n\
          relayctl run '*' test.random_hash hash_type=sha512",
    parameters: SIZE_AND_TYPE,
    start: Start::Value(random_hash),
};

pub(in crate::functions) const RAND_STR: Function = Function {
    name: "test.rand_str",
    usage: "test.rand_str [SIZE] [hash_type=sha256]",
    doc: "Return the hash of a random number, as test.random_hash.\n\nrelayctl run '*' test.rand_str",
    ..RANDOM_HASH
};

fn fib(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let (num, began) = (bound.integer("num").unwrap_or_default(), Instant::now());
    if !(0..=LAST_FIB).contains(&num) {
        return Err(format!(
            "test.fib: NUM must be 0 to {LAST_FIB}, not {num}: a larger result has more than 64 bits"
        ));
    }
    let (number, _) = (0..num).fold((0u64, 1u64), |(a, b), _| (b, a.wrapping_add(b)));
    Ok(json!([number, began.elapsed().as_secs_f64()]))
}

fn collatz(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let (start, began) = (bound.integer("start").unwrap_or_default(), Instant::now());
    let mut at = u64::try_from(start).ok().filter(|n| *n > 0);
    let mut steps = Vec::new();
    while at != Some(1) {
        let n = at.ok_or_else(|| {
            format!("test.collatz: from {start} there are no steps within 64 bits down to 1")
        })?;
        steps.push(n);
        at = if n % 2 == 0 { Some(n / 2) } else { n.checked_mul(3).and_then(|n| n.checked_add(1)) };
    }
    Ok(json!([steps, began.elapsed().as_secs_f64()]))
}

fn random_hash(bound: &Bound, _: &Call, _: &Context) -> Result<Value, String> {
    let size = bound.integer("size").unwrap_or(DEFAULT_SIZE).max(1) as u64;
    let number = (rand::random::<u64>() % size + 1).to_string();
    let hash = match bound.text("hash_type").as_deref() {
        None | Some("sha256") => hex(&Sha256::digest(&number)),
        Some("sha224") => hex(&Sha224::digest(&number)),
        Some("sha384") => hex(&Sha384::digest(&number)),
        Some("sha512") => hex(&Sha512::digest(&number)),
        Some(_) => return Err("the hash type must be sha224, sha256, sha384 or sha512".into()),
    };
    Ok(hash.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
