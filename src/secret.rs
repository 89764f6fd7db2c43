//! Credentials and tokens in memory: bytes that are copied once, shown to nobody, and wiped when they are dropped.
//!
//! Never looks into them, never writes them anywhere. A copy is made in words (`duplicate`), never in passing: no `Clone`, no `Serialize`, and
//! `Debug` tells the length alone. What is not wiped: registers, and what a moved stack frame leaves behind; no secret is kept on the stack.
//! Made by `ffi` of what the host gives and by `state` of what it has kept; handed on by `runtime`.

use std::fmt;

use vms_failover_abi as abi;
use zeroize::Zeroizing;

use crate::error::Error;

/// Longest secret, in bytes (header, rule 10).
pub const MAX: usize = 4096;

/// One secret, 1 to [`MAX`] bytes, in one block of memory.
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// Copies the bytes into a block of their own, which never grows or moves. The source is the caller's to wipe.
    ///
    /// VMSF_ERR_INVALID: there are none. VMSF_ERR_LIMIT: there are more than [`MAX`].
    pub fn copied(bytes: &[u8]) -> Result<Secret, Error> {
        match bytes.len() {
            0 => Err(Error::new(abi::VMSF_ERR_INVALID, "the secret is empty")),
            1..=MAX => Ok(Secret(Zeroizing::new(bytes.into()))),
            len => {
                let text = format!("the secret has {len} bytes, allowed are {MAX}");
                Err(Error::new(abi::VMSF_ERR_LIMIT, text))
            }
        }
    }

    /// A second one with the same bytes, wiped on its own.
    pub fn duplicate(&self) -> Secret {
        Secret(self.0.clone())
    }

    /// The bytes. Whoever copies them wipes the copy.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a secret is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::ffi::tests::freed::{MARK, holding_the_mark};

    #[test]
    fn it_has_one_to_4096_bytes() {
        let made = |len: usize| Secret::copied(&vec![7; len]).map(|secret| secret.len()).map_err(|error| error.code);
        assert_eq!(made(0), Err(abi::VMSF_ERR_INVALID));
        assert_eq!((made(1), made(MAX)), (Ok(1), Ok(MAX)));
        assert_eq!(made(MAX + 1), Err(abi::VMSF_ERR_LIMIT));
    }

    #[test]
    fn it_shows_its_length_alone() {
        let secret = Secret::copied(MARK).unwrap();
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(16 bytes) Some(\n    Secret(16 bytes),\n)");
    }

    #[test]
    fn it_and_its_duplicates_are_wiped_wherever_they_end() {
        let (left, ()) = holding_the_mark(|| {
            let secret = Secret::copied(MARK).unwrap();
            let (second, third) = (secret.duplicate(), secret.duplicate());
            assert_eq!(second.as_bytes(), MARK);
            drop(secret);
            assert_eq!(third.as_bytes(), MARK);
            let moved: Vec<Secret> = [second, third].into_iter().collect();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panic!("with {moved:?}"))).unwrap_err();
        });
        assert_eq!(left, 0);
    }
}
