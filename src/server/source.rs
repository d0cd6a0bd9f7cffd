//! Where connections come from.

use std::net::IpAddr;

/// Where connections come from: an IPv4 address, or a network of IPv6, which one host may have for
/// itself (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source(u128);

impl Source {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address) & !u128::from(u64::MAX) | 1 << 63,
        })
    }
}
