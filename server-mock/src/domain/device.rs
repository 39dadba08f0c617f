//! The proof that an erasure comes from the device that it is about (C12).

use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::identity::strip;

/// A device's secret: 128 bits that never left the device before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Reads a secret: 32 hexadecimal digits (hyphens do not count), or base64 of 16 bytes in either alphabet.
    pub fn parse(text: &str) -> Option<Secret> {
        let digits: String = text.chars().filter(|character| *character != '-').collect();
        if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return u128::from_str_radix(&digits, 16).ok().map(|bits| Secret(bits.to_be_bytes()));
        }
        let normal = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
        let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(normal).ok()?;
        bytes.try_into().ok().map(Secret)
    }

    /// The id of the device that has this secret: the first 128 bits of the secret's SHA-256, as a UUID with the bits of
    /// version 4 and of the variant set.
    pub fn device_id(self) -> String {
        let digest = Sha256::digest(self.0);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Whether this is the secret of a device, whose id may be written as a distinct id. Ids are texts: another spelling
    /// is another id, under which other records may lie.
    pub fn proves(self, device_id: &str) -> bool {
        // Not secret: whoever asks has named both.
        strip(device_id) == self.device_id()
    }
}

/// What a receipt says of a device: enough for whoever knows the id, nothing for others.
pub fn fingerprint(device_id: &str) -> String {
    Sha256::digest(strip(device_id)).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_hash_of_the_secret_as_a_uuid() {
        // printf '\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7' | sha256sum
        let secret = Secret::parse(&"07".repeat(16)).unwrap();
        assert_eq!(secret.device_id(), "d761d406-af2a-4a5a-95f6-7c924378ed88");
        assert!(crate::domain::identity::is_uuid4(&secret.device_id()));
        assert!(secret.proves(&secret.device_id()));
        assert!(secret.proves(&format!("$device:{}", secret.device_id())));
        assert!(!secret.proves(&secret.device_id().to_uppercase()));
        assert!(!Secret::parse(&"08".repeat(16)).unwrap().proves(&secret.device_id()));
    }

    #[test]
    fn secrets_are_read_in_their_forms_and_nothing_else_is() {
        let hex = Secret::parse("000102030405060708090a0b0c0d0e0f").unwrap();
        assert!(hex == Secret::parse("00010203-0405-0607-0809-0A0B0C0D0E0F").unwrap());
        assert!(hex == Secret::parse("AAECAwQFBgcICQoLDA0ODw").unwrap());
        assert!(hex == Secret::parse("AAECAwQFBgcICQoLDA0ODw==").unwrap());
        for wrong in ["", "00", "g".repeat(32).as_str(), &"0".repeat(34), "AAECAwQFBgcICQoLDA0O"] {
            assert!(Secret::parse(wrong).is_none(), "{wrong}");
        }
    }
}
