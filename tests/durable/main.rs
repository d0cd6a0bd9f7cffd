//! Tests what happens to a durable store when the machine fails: the program is killed, its files
//! are torn, damaged or removed, its disk is full, or its clock jumps.
//!
//! The program runs in its own process, on real files and real sockets. The receivers are real
//! sockets too.

mod api;
mod dice;
mod stage;

mod clock;
mod crashes;
mod damage;
mod descriptors;
mod disk;
mod files;
mod made_before;
mod master_keys;
mod open;
mod restart;
mod secrecy;
mod test_clock;
mod wal;
