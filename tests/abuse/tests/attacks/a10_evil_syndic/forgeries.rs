//! What an attacker makes of a job that was signed: for another minion, with other words, or with a signature of its own.

use fabric_tests::Fabric;
use prost::Message as _;
use relay_core::{
    ids::{Incarnation, MinionId},
    merkle::{Proof, Tree, leaf},
    message::Dispatch,
};
use relay_proto::{
    convert,
    link::{self, down::Message},
};
use relay_runtime::trust::key::SecretKey;
use sha2::{Digest as _, Sha256};

/// What stands before the body where it is signed.
const DOMAIN: &[u8] = b"relay job v2\0";

/// A dispatch as it goes to one minion.
pub fn to(incarnation: Incarnation, dispatch: &Dispatch, proof: &Proof) -> link::Down {
    let message = link::Dispatch {
        jid: dispatch.job.jid.micros(),
        epoch: dispatch.epoch.0,
        digest: dispatch.job.digest.to_vec(),
        envelope: dispatch.job.envelope.clone(),
        members: Vec::new(),
        reoffer: dispatch.reoffer,
        deliver_within_ms: 60_000,
        proof: None,
    };
    let proof = Some(convert::proof_out(proof));
    link::Down { message: Some(Message::Dispatch(message)), incarnation: incarnation.0, proof }
}

/// The same with another envelope.
fn with(down: &link::Down, envelope: Vec<u8>) -> link::Down {
    let mut down = down.clone();
    if let Some(Message::Dispatch(dispatch)) = &mut down.message {
        dispatch.digest = Sha256::digest(&envelope).to_vec();
        dispatch.envelope = envelope.into();
    }
    down
}

fn changed(down: &link::Down, change: impl FnOnce(&mut link::Dispatch)) -> link::Down {
    let mut down = down.clone();
    if let Some(Message::Dispatch(dispatch)) = &mut down.message {
        change(dispatch);
    }
    down
}

/// An envelope whose body says something else under the signature that it has.
fn altered(envelope: &[u8], change: impl FnOnce(&mut link::Envelope)) -> Vec<u8> {
    let mut signed = link::SignedEnvelope::decode(envelope).unwrap();
    let mut body = link::Envelope::decode(signed.body.clone()).unwrap();
    change(&mut body);
    signed.body = body.encode_to_vec().into();
    signed.encode_to_vec()
}

/// The same under another signature, after a change to what it says.
pub fn resigned(good: &link::Down, by: &SecretKey, change: impl FnOnce(&mut link::Envelope)) -> link::Down {
    let Some(Message::Dispatch(dispatch)) = &good.message else { panic!("no dispatch") };
    let bytes = altered(&dispatch.envelope, change);
    let mut signed = link::SignedEnvelope::decode(&bytes[..]).unwrap();
    signed.signature = by.sign(&[DOMAIN, &signed.body[..]].concat()).to_vec();
    signed.key_id = relay_core::signing::KeyId::of_fingerprint(&by.id()).0.to_vec();
    with(good, signed.encode_to_vec())
}

/// What the attacker would like to run: it leaves a trace that the witness sees.
fn wish(fabric: &Fabric) -> Vec<u8> {
    let command = format!("{} # evil", fabric.witness().command());
    serde_json::json!({"args": [command], "kwargs": {}}).to_string().into_bytes()
}

/// Every way to make a job for a minion out of one that was signed for another, or for this one.
pub fn forgeries(
    fabric: &Fabric,
    good: &link::Down,
    victim: &str,
    incarnation: Incarnation,
) -> Vec<(&'static str, link::Down)> {
    let Some(Message::Dispatch(dispatch)) = &good.message else { panic!("no dispatch") };
    let envelope = dispatch.envelope.clone();
    let wish = wish(fabric);
    let id: MinionId = victim.parse().unwrap();
    // A tree of its own, in which the victim is.
    let own = Tree::full(vec![leaf(incarnation, &id)]);
    let own_proof = Some(convert::proof_out(&own.prove(vec![0]).unwrap()));
    let root = own.root();
    let alter = |change: &dyn Fn(&mut link::Envelope)| with(good, altered(&envelope, |body| change(body)));
    let resign = |secret: &SecretKey, key_id: Option<Vec<u8>>| {
        let mut signed = link::SignedEnvelope::decode(&envelope[..]).unwrap();
        let mut body = link::Envelope::decode(signed.body.clone()).unwrap();
        (body.args, body.target_root, body.target_count) = (wish.clone(), root.hash.to_vec(), 1);
        signed.body = body.encode_to_vec().into();
        signed.signature = secret.sign(&[DOMAIN, &signed.body[..]].concat()).to_vec();
        signed.key_id =
            key_id.unwrap_or_else(|| relay_core::signing::KeyId::of_fingerprint(&secret.id()).0.to_vec());
        link::Down { proof: own_proof.clone(), ..with(good, signed.encode_to_vec()) }
    };
    let secret = SecretKey::generate().unwrap();
    let real_key = link::SignedEnvelope::decode(&envelope[..]).unwrap().key_id;
    let unsigned = {
        let signed = link::SignedEnvelope::decode(&envelope[..]).unwrap();
        let body = link::Envelope::decode(signed.body).unwrap();
        link::Envelope { version: 1, args: wish.clone(), ..body }.encode_to_vec()
    };
    let bare = |change: &dyn Fn(&mut link::SignedEnvelope)| {
        let mut signed = link::SignedEnvelope::decode(&envelope[..]).unwrap();
        let mut body = link::Envelope::decode(signed.body.clone()).unwrap();
        body.args = wish.clone();
        signed.body = body.encode_to_vec().into();
        change(&mut signed);
        with(good, signed.encode_to_vec())
    };
    let appended = {
        let mut signed = link::SignedEnvelope::decode(&envelope[..]).unwrap();
        let more = link::Envelope { args: wish.clone(), ..Default::default() }.encode_to_vec();
        signed.body = [&signed.body[..], &more].concat().into();
        signed.encode_to_vec()
    };
    let second_body = {
        let body = link::SignedEnvelope {
            body: link::Envelope::decode(link::SignedEnvelope::decode(&envelope[..]).unwrap().body)
                .map(|b| link::Envelope { args: wish.clone(), ..b }.encode_to_vec())
                .unwrap()
                .into(),
            ..Default::default()
        };
        [&envelope[..], &body.encode_to_vec()].concat()
    };
    let proofs = |change: &dyn Fn(&mut link::Proof)| {
        let mut down = good.clone();
        if let Some(proof) = &mut down.proof {
            change(proof);
        }
        down
    };
    vec![
        ("other arguments", alter(&|body| body.args = wish.clone())),
        ("another function", alter(&|body| body.function = "cmd.shell".into())),
        ("another caller", alter(&|body| body.caller = "root".into())),
        ("another fabric", alter(&|body| body.fabric = "other.example".into())),
        ("another epoch", alter(&|body| body.epoch += 1)),
        ("a longer run", alter(&|body| body.run_limit_ms *= 2)),
        ("a longer life", alter(&|body| body.not_after = u64::MAX)),
        ("an earlier life", alter(&|body| body.not_before = 0)),
        (
            "other targets",
            link::Down {
                proof: own_proof.clone(),
                ..with(
                    good,
                    altered(&envelope, |body| {
                        (body.target_root, body.target_count) = (root.hash.to_vec(), 1)
                    }),
                )
            },
        ),
        ("another request", alter(&|body| body.request = vec![0; 32])),
        ("another jid", changed(&alter(&|body| body.jid += 1), |dispatch| dispatch.jid += 1)),
        ("another jid outside", changed(good, |dispatch| dispatch.jid += 2)),
        ("no signature", with(good, unsigned)),
        ("an empty signature", bare(&|signed| signed.signature = Vec::new())),
        ("a signature of zeros", bare(&|signed| signed.signature = vec![0; 64])),
        ("a signature of another job's length", bare(&|signed| signed.signature = vec![1; 65])),
        ("a key of its own", resign(&secret, None)),
        ("a key of its own under the real one's name", resign(&secret, Some(real_key))),
        ("no key", bare(&|signed| signed.key_id = Vec::new())),
        ("more behind the body", with(good, appended)),
        ("a second body", with(good, second_body)),
        ("another digest", changed(good, |dispatch| dispatch.digest = vec![0; 32])),
        ("garbage", with(good, vec![0xff; 100])),
        ("nothing", with(good, Vec::new())),
        ("no proof", link::Down { proof: None, ..good.clone() }),
        ("a proof of another size", proofs(&|proof| proof.size += 1)),
        ("a proof of another place", proofs(&|proof| proof.places = vec![proof.size as i32 - 1])),
        ("a proof with another hash", proofs(&|proof| proof.hashes.iter_mut().for_each(|b| *b ^= 1))),
        ("a proof with a hash more", proofs(&|proof| proof.hashes.extend([7; 32]))),
        ("a proof of 4 billion leaves", proofs(&|proof| proof.size = u32::MAX)),
        ("its own tree's proof", link::Down { proof: own_proof, ..good.clone() }),
        (
            "a life of for ever outside",
            link::Down {
                proof: None,
                ..changed(good, |dispatch| {
                    (dispatch.epoch, dispatch.deliver_within_ms) = (u64::MAX, u64::MAX)
                })
            },
        ),
        ("for another journal", link::Down { incarnation: good.incarnation ^ 1, ..good.clone() }),
    ]
}
