//! SipHash-2-4 with 128 bits, which stays the same over versions and restarts.
//!
//! Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF" (2012), and its reference implementation.

/// Hashes bytes as they come.
pub(crate) struct Hasher {
    v: [u64; 4],
    tail: [u8; 8],
    held: usize,
    len: u64,
}

impl Hasher {
    fn new(k0: u64, k1: u64) -> Hasher {
        Hasher {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: [0; 8],
            held: 0,
            len: 0,
        }
    }

    /// The hash of several parts; where one ends and the next begins counts.
    pub fn of(parts: &[&[u8]]) -> u128 {
        let mut hasher = Hasher::new(0x7469_6465_6d69_6c6c, 0x6b65_7973);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish()
    }

    fn rounds(&mut self, n: usize) {
        let [a, b, c, d] = &mut self.v;
        for _ in 0..n {
            *a = a.wrapping_add(*b);
            *c = c.wrapping_add(*d);
            *b = b.rotate_left(13) ^ *a;
            *d = d.rotate_left(16) ^ *c;
            *a = a.rotate_left(32);
            *c = c.wrapping_add(*b);
            *a = a.wrapping_add(*d);
            *b = b.rotate_left(17) ^ *c;
            *d = d.rotate_left(21) ^ *a;
            *c = c.rotate_left(32);
        }
    }

    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.rounds(2);
        self.v[0] ^= word;
    }

    fn write(&mut self, mut bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if self.held > 0 {
            let more = bytes.len().min(8 - self.held);
            self.tail[self.held..self.held + more].copy_from_slice(&bytes[..more]);
            self.held += more;
            bytes = &bytes[more..];
            if self.held < 8 {
                return;
            }
            self.word(u64::from_le_bytes(self.tail));
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        self.tail[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    fn finish(mut self) -> u128 {
        self.tail[self.held..].fill(0);
        self.tail[7] = self.len as u8;
        self.word(u64::from_le_bytes(self.tail));
        self.v[2] ^= 0xee;
        self.rounds(4);
        let low = self.v.iter().fold(0, |x, v| x ^ v);
        self.v[1] ^= 0xdd;
        self.rounds(4);
        let high = self.v.iter().fold(0, |x, v| x ^ v);
        u128::from(high) << 64 | u128::from(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors() {
        let key: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let of = |bytes: &[u8], cut: usize| {
            let mut hasher = Hasher::new(key[0], key[1]);
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            hasher.write(a);
            hasher.write(b);
            hasher.finish().to_le_bytes()
        };
        let empty = [
            0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
            0x02, 0x93,
        ];
        let one = [
            0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22,
            0xfc, 0x45,
        ];
        assert_eq!(of(&[], 0), empty);
        assert_eq!(of(&[0], 0), one);
        let long: Vec<u8> = (0..64).collect();
        for cut in 0..64 {
            assert_eq!(of(&long, cut), of(&long, 0), "{cut}");
        }
        assert_ne!(Hasher::of(&[b"ab", b"c"]), Hasher::of(&[b"a", b"bc"]));
    }
}
