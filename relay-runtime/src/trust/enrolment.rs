//! Which enrolment a certificate is of, and which of its renewals: both stand in its serial number.
//!
//! `0x01`, the number of the enrolment (8 bytes), the generation (4 bytes), big end first. The first byte keeps the number
//! positive and its length the same. A serial number of any other form (a throw-away certificate's) is of no enrolment.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The first byte of a serial number of this form.
const FORM: u8 = 1;
/// Bytes of such a serial number.
const SERIAL_BYTES: usize = 13;
/// Enrolments numbered from here on were made by hand, with `relayctl ca issue`: the store knows nothing of them.
pub const BY_HAND: u64 = 1 << 63;

/// Which certificate of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Enrolment {
    /// The number of the enrolment, never used again in a fabric. 0: none, so that nothing is known of it.
    pub uid: u64,
    /// Rises by one with each renewal.
    pub generation: u32,
}

impl Enrolment {
    /// Of no enrolment.
    pub const NONE: Enrolment = Enrolment { uid: 0, generation: 0 };

    /// The serial number that says this.
    pub fn serial(self) -> [u8; SERIAL_BYTES] {
        let mut serial = [FORM; SERIAL_BYTES];
        serial[1..9].copy_from_slice(&self.uid.to_be_bytes());
        serial[9..].copy_from_slice(&self.generation.to_be_bytes());
        serial
    }

    /// What a serial number says.
    pub fn of_serial(serial: &[u8]) -> Enrolment {
        let Some((FORM, rest)) = serial.split_first().map(|(form, rest)| (*form, rest)) else {
            return Enrolment::NONE;
        };
        match (rest.first_chunk::<8>(), rest.last_chunk::<4>()) {
            (Some(uid), Some(generation)) if serial.len() == SERIAL_BYTES => {
                Enrolment { uid: u64::from_be_bytes(*uid), generation: u32::from_be_bytes(*generation) }
            }
            _ => Enrolment::NONE,
        }
    }

    /// What a certificate's serial number says; of no enrolment, if it is no certificate.
    pub fn of_certificate(der: &CertificateDer<'_>) -> Enrolment {
        let parsed = X509Certificate::from_der(der);
        parsed.map_or(Enrolment::NONE, |(_, certificate)| Enrolment::of_serial(certificate.raw_serial()))
    }

    /// Whether anything is known of it.
    pub fn is_known(self) -> bool {
        self.uid != 0
    }
}

impl std::fmt::Display for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}/{}", self.uid, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_serial_number_says_what_it_was_made_of(uid: u64, generation: u32) {
            let enrolment = Enrolment { uid, generation };
            prop_assert_eq!(Enrolment::of_serial(&enrolment.serial()), enrolment);
        }

        #[test]
        fn any_other_number_is_of_no_enrolment(serial in prop::collection::vec(any::<u8>(), 0..24)) {
            prop_assume!(serial.len() != SERIAL_BYTES || serial[0] != FORM);
            prop_assert_eq!(Enrolment::of_serial(&serial), Enrolment::NONE);
        }
    }
}
