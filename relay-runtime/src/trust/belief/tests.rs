//! Which bundle follows which: the rules one by one, a table of attacks, and bytes at random.

use proptest::prelude::*;
use prost::Message;
use relay_core::signing::{KeyId, Span};
use relay_proto::trust::{self as wire, Bundle};

use super::{
    super::{bundle, key::SecretKey, testing::*},
    *,
};

fn after(belief: &Belief, bundle: &[u8]) -> Result<Belief, Refused> {
    belief.after(bundle, NOW).map(|next| next.expect("something new"))
}

#[test]
fn a_bundle_says_whose_jobs_count_and_who_is_denied() {
    let (root, list, signer) = (root(), list_key(), list_key());
    let mut said = keys(1);
    said.job_keys.push(job_key(&signer));
    said.denied.push(denied(7, 3));
    let bytes = bundle(&root, &list, 1, &said);
    let belief = after(&ground(&[&root]), &bytes).unwrap();
    assert_eq!((belief.versions(), belief.bundle()), ((1, 1), Some(&bytes)));
    assert_eq!(belief.after(&bytes, NOW).unwrap().map(|b| b.versions()), None, "nothing new");

    let (id, second) = (job_key(&signer).id(), 1_000_000);
    let span =
        |from: u64, to: u64| Span { not_before: (NOW + from) * second, not_after: (NOW + to) * second };
    assert_eq!(belief.job_key(id, span(0, 500), NOW).map(|key| key.public), Some(signer.public()));
    let beyond = Span { not_after: (NOW + 500) * second + 1, ..span(0, 500) };
    let before = Span { not_before: NOW * second - 1, ..span(0, 500) };
    for (span, now) in [(beyond, NOW), (before, NOW), (span(9, 3), NOW), (span(0, 500), NOW + 1_000)] {
        assert_eq!(belief.job_key(id, span, now), None, "{span:?} {now}");
    }
    assert_eq!(belief.job_key(KeyId([0; 8]), span(0, 1), NOW), None);

    let enrolled = |uid, generation| Enrolment { uid, generation };
    let cases = [(7, 0, true), (7, 3, true), (7, 4, false), (8, 0, false), (0, 0, false)];
    for (uid, generation, denied) in cases {
        assert_eq!(belief.is_denied(enrolled(uid, generation)), denied, "{uid}/{generation}");
    }
}

/// Each is offered to who knows root A, list key L, anchors 5 and keys 5.
#[test]
fn what_is_not_taken_changes_nothing() {
    let (a, alien, l, m) = (root(), root(), list_key(), list_key());
    let known = after(&ground(&[&a]), &bundle(&a, &l, 5, &keys(5))).unwrap();
    let keys_of = |keys: &Keys, by: &SecretKey| keys.sign(by);
    let good_anchors = sign_anchors(&anchors(5, &[&a], &[&l]), &[&a]);
    let offered = |anchors: &wire::Signed, keys: &wire::Signed| bundle::encode(anchors, keys).to_vec();
    let with_keys = |keys: &Keys| offered(&good_anchors, &keys_of(keys, &l));
    let with_anchors = |anchors: &Anchors, by: &[&crate::authority::RootKey]| {
        offered(&sign_anchors(anchors, by), &keys_of(&keys(6), &l))
    };

    let mut other_fabric = anchors(6, &[&a], &[&l]);
    other_fabric.fabric = "other.example".parse().unwrap();
    let mut expired = anchors(6, &[&a], &[&l]);
    expired.expires = NOW;
    let mut tampered = sign_anchors(&anchors(6, &[&a], &[&l]), &[&a]);
    tampered.payload = anchors(7, &[&a], &[&l]).encode();
    // Under the name of the root that is known, by the key of another one.
    let mut named = sign_anchors(&anchors(6, &[&a], &[&l]), &[&alien]);
    named.signatures[0].key_id = a.pin().0.to_vec();
    let mut forked = anchors(5, &[&a], &[&l]);
    forked.expires += 1;
    // A signature of a list cannot stand for one of anchors: what is signed begins with another text.
    let mut as_list = keys(6);
    as_list.job_keys.push(job_key(&m));

    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("anchors by an alien root", with_anchors(&anchors(6, &[&alien], &[&l]), &[&alien]), "signature"),
        ("unsigned anchors", with_anchors(&anchors(6, &[&a], &[&l]), &[]), "signature"),
        ("tampered anchors", offered(&tampered, &keys_of(&keys(6), &l)), "signature"),
        ("a borrowed name", offered(&named, &keys_of(&keys(6), &l)), "signature"),
        ("a new root that did not sign", with_anchors(&anchors(6, &[&a, &alien], &[&l]), &[&a]), "signature"),
        ("older anchors", with_anchors(&anchors(4, &[&a], &[&l]), &[&a]), "older"),
        ("two anchors of one version", with_anchors(&forked, &[&a]), "forked"),
        ("expired anchors", with_anchors(&expired, &[&a]), "expired"),
        ("anchors of another fabric", with_anchors(&other_fabric, &[&a]), "fabric"),
        ("a list by a key that is not named", offered(&good_anchors, &keys_of(&keys(6), &m)), "signature"),
        ("a list without a signature", offered(&good_anchors, &wire::Signed::default()), "signature"),
        ("an older list", with_keys(&keys(4)), "older"),
        ("two lists of one version", with_keys(&Keys { expires: NOW + 1, ..keys(5) }), "forked"),
        ("an expired list", with_keys(&Keys { expires: NOW, ..keys(6) }), "expired"),
        (
            "a list of another fabric",
            with_keys(&Keys { fabric: "o.example".parse().unwrap(), ..keys(6) }),
            "fabric",
        ),
        (
            "an older list with newer anchors",
            { offered(&sign_anchors(&anchors(6, &[&a], &[&l]), &[&a]), &keys_of(&keys(4), &l)) },
            "older",
        ),
        ("no anchors", Bundle { anchors: None, keys: Some(keys_of(&as_list, &l)) }.encode_to_vec(), "flawed"),
        ("no list", Bundle { anchors: Some(good_anchors.clone()), keys: None }.encode_to_vec(), "flawed"),
        (
            "a list in the place of anchors",
            offered(&keys_of(&as_list, &l), &keys_of(&as_list, &l)),
            "signature",
        ),
        ("everybody denied", with_keys(&Keys { denied: vec![denied(0, 1)], ..keys(6) }), "flawed"),
        ("too much", vec![0; bundle::MAX_BUNDLE_BYTES + 1], "flawed"),
    ];
    for (what, bytes, word) in cases {
        let refused = known.after(&bytes, NOW).err().unwrap_or_else(|| panic!("{what}: taken"));
        assert_eq!(refused.word(), word, "{what}: {refused}");
    }
    assert!(after(&known, &with_keys(&keys(6))).is_ok(), "and what is good is taken");
}

#[test]
fn a_root_is_replaced_in_two_steps_and_who_was_away_follows() {
    let (a, b, list) = (root(), root(), list_key());
    let step = |version, roots: &[&crate::authority::RootKey], by: &[&crate::authority::RootKey]| {
        bundle::encode(&sign_anchors(&anchors(version, roots, &[&list]), by), &keys(version).sign(&list))
    };
    let (one, two, three) = (step(1, &[&a], &[&a]), step(2, &[&a, &b], &[&a, &b]), step(3, &[&b], &[&a, &b]));
    let mut belief = ground(&[&a]);
    for (bytes, pins) in [(&one, vec![a.pin()]), (&two, vec![a.pin(), b.pin()]), (&three, vec![b.pin()])] {
        belief = after(&belief, bytes).unwrap();
        assert_eq!(belief.roots().iter().map(|root| root.pin).collect::<Vec<_>>(), pins);
    }
    // Who slept through it all knows the old root only: its word is on the newest anchors, too.
    let slept = after(&ground(&[&a]), &three).unwrap();
    assert!(slept.roots().iter().any(|root| root.pin == b.pin()));
    // Afterwards the old one has nothing to say.
    assert_eq!(after(&belief, &step(4, &[&a, &b], &[&a])).unwrap_err().word(), "signature");
    let Err(Refused::Signature(_)) = after(&belief, &step(4, &[&a], &[&a])) else {
        panic!("back to the old root")
    };
    assert!(after(&belief, &step(4, &[&b], &[&b])).is_ok());
}

#[test]
fn the_roots_stay_the_same_slice_while_they_are_the_same() {
    let (root, list) = (root(), list_key());
    let first = after(&ground(&[&root]), &bundle(&root, &list, 1, &keys(1))).unwrap();
    let second = after(&first, &bundle(&root, &list, 2, &keys(2))).unwrap();
    assert!(Arc::ptr_eq(first.roots(), second.roots()));
}

/// The fast-forward attack: a thief of the list key signs the highest version there is.
#[test]
fn a_list_key_that_is_withdrawn_takes_its_versions_with_it() {
    let (root, stolen, fresh) = (root(), list_key(), list_key());
    let forged = bundle(&root, &stolen, 1, &Keys { denied: vec![denied(7, 9)], ..keys(u64::MAX) });
    let deceived = after(&ground(&[&root]), &forged).unwrap();
    let healed =
        bundle::encode(&sign_anchors(&anchors(2, &[&root], &[&fresh]), &[&root]), &keys(3).sign(&fresh));
    let healed = after(&deceived, &healed).unwrap();
    assert_eq!(healed.versions(), (2, 3));
    assert!(!healed.is_denied(Enrolment { uid: 7, generation: 0 }), "what the thief said is forgotten");
    assert_eq!(after(&healed, &forged).unwrap_err().word(), "older");
}

#[test]
fn what_expired_meanwhile_is_believed_again_from_the_disk_but_signs_no_job() {
    let (root, list, signer) = (root(), list_key(), list_key());
    let bytes = bundle(&root, &list, 1, &Keys { job_keys: vec![job_key(&signer)], ..keys(1) });
    let late = NOW + 5_000;
    assert_eq!(ground(&[&root]).after(&bytes, late).unwrap_err().word(), "expired");
    let belief = ground(&[&root]).again(&bytes).unwrap().unwrap();
    let span = Span { not_before: NOW * 1_000_000, not_after: NOW * 1_000_000 };
    assert!(belief.job_key(job_key(&signer).id(), span, late).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_at_random_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let belief = ground(&[&root()]);
        prop_assert!(belief.after(&bytes, NOW).is_err());
    }

    /// Versions that somebody believes only rise, whatever is offered in whatever order.
    #[test]
    fn no_version_goes_down(offers in prop::collection::vec((1u64..5, 1u64..5, 0u64..3), 1..12)) {
        let (root, list) = (root(), list_key());
        let mut belief = ground(&[&root]);
        for (anchors, version, extra) in offers {
            let before = belief.versions();
            let said = Keys { expires: NOW + 1_000 + extra, ..keys(version) };
            if let Ok(Some(next)) = belief.after(&bundle(&root, &list, anchors, &said), NOW) {
                prop_assert!(next.versions().0 >= before.0 && next.versions().1 >= before.1);
                prop_assert!(next.versions() > before);
                belief = next;
            }
        }
    }

    /// One bit anywhere in a good bundle: it is refused, or says what it said.
    #[test]
    fn a_bit_that_is_changed_is_noticed(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (root, list) = (root(), list_key());
        let good = bundle(&root, &list, 1, &keys(1));
        let mut bad = good.to_vec();
        bad[place.index(good.len())] ^= 1 << bit;
        if let Ok(Some(belief)) = ground(&[&root]).after(&bad, NOW) {
            let expected = ground(&[&root]).after(&good, NOW).unwrap().unwrap();
            prop_assert_eq!(belief.versions(), expected.versions());
            prop_assert_eq!(belief.expire(), expected.expire());
            prop_assert_eq!(belief.roots(), expected.roots());
        }
    }
}
