//! One file for each contender; each uses the fastest way of its crate that keeps the promise.

mod alluvium;
mod bare;
mod commitlog;
mod fjall;
mod lmdb;
mod okaywal;
mod raft_engine;
mod redb;
mod sqlite;

use crate::peer::Contender;

pub fn all() -> Vec<Contender> {
    vec![
        alluvium::contender(),
        bare::contender(),
        commitlog::contender(),
        okaywal::contender(),
        raft_engine::contender(),
        redb::contender(),
        fjall::contender(),
        sqlite::contender(),
        lmdb::contender(),
    ]
}
