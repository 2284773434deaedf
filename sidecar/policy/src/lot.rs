//! Lots, drawn from random bits that the caller brings.

/// A number in `0.0..1.0` from the upper 53 of 64 random bits.
pub(crate) fn unit(random: u64) -> f64 {
    const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
    (random >> 11) as f64 * SCALE
}

/// A number below `count`, which is above 0, from 32 random bits.
pub(crate) fn below(count: usize, random: u32) -> usize {
    ((u64::from(random) * count as u64) >> 32) as usize
}

/// Other bits, as even as those that they are made of: for a second lot (the finalizer of SplitMix64).
pub(crate) fn again(random: u64) -> u64 {
    let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
