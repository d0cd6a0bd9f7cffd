//! What becomes of a durable store when the machine fails: the program is killed, its files are torn, damaged or taken
//! away, its disk is full, its clock jumps.
//!
//! The program is the real one, a process of its own on real files and real sockets. So are the receivers.

mod api;
mod dice;
mod stage;

mod clock;
mod crashes;
mod damage;
mod disk;
mod files;
mod made_before;
mod master_keys;
mod open;
mod restart;
mod secrecy;
mod test_clock;
mod wal;
