//! What may happen next.

use crate::sums;
use crate::world::World;

impl World {
    pub fn step(&mut self) {
        let actor = self.chance.below(3) as usize;
        match self.chance.below(100) {
            0..16 => self.send(),
            16..24 => self.send_batch(),
            24..29 => self.send_named(),
            29..33 => self.send_if(),
            33..48 => self.txn_send(actor),
            48..53 => self.txn_offsets(actor),
            53..61 => self.txn_end(actor),
            61..62 => self.txn_fence(actor),
            62..66 => self.commit_offsets(),
            66..68 => self.member(),
            68..71 => self.roll(),
            71..77 => self.squeeze(),
            77..79 => self.squeeze_internal(),
            79..81 => self.run_retention(),
            81..86 => self.advance(),
            86..88 => self.delete_records(),
            88..89 => self.grow(),
            89..91 => self.alter(),
            91..92 => self.delete_topic(),
            92..94 => self.create_one(),
            94..95 => self.sum(),
            95..97 => self.save_table(),
            97..98 => self.copy(),
            98..99 => self.tick(),
            _ => self.check_now(),
        }
    }

    fn sum(&mut self) {
        let of = *self.chance.of(&sums::OF);
        let by = 1 + self.chance.below(9) as i64;
        self.note(format!("{by} {of}"));
        let total = self.model.sums.entry(of.to_owned()).or_default();
        *total += by;
        let total = *total;
        if let Some(found) = self.judge(sums::add(self.log(), of, by)) {
            assert_eq!(found, total);
        }
    }
}
