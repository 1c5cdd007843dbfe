//! Tests of the floor as a whole: one partition on a disk in memory.

mod bed;
mod compacting;
mod compaction;
mod crash;
mod damage;
mod front;
mod model;
mod reading;
mod writing;
