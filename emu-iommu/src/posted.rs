//! Posted interrupts (VT-d specification, 5.2): the request sets a bit of a descriptor in memory, and a processor is notified
//! unless it has been already or does not want to be. What is posted to whom is the hypervisor's affair.

use crate::Vtd;
use crate::fault::Request;
use crate::interrupt::Irte;
use crate::spec::irte::{FPD, IM, VECTOR_SHIFT};
use crate::spec::{fault, posted::*};
use crate::state::count;
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_core::trace::TraceEvent;
use emu_core::{DeliveryMode, DestinationMode, Gpa, Interrupt, TriggerMode};

impl Irte {
    /// Whether it is of the posted format, of a unit that knows it.
    #[must_use]
    pub const fn is_posted(self) -> bool {
        self.0[0] & IM != 0
    }

    /// Posted format: where the descriptor is.
    #[must_use]
    pub const fn descriptor(self) -> Gpa {
        Gpa(self.0[1] & PDA_HIGH | (self.0[0] & PDA_LOW) >> PDA_SHIFT)
    }

    /// Posted format: the vector that is posted.
    #[must_use]
    pub const fn posted_vector(self) -> u8 {
        (self.0[0] >> VECTOR_SHIFT) as u8
    }

    /// Posted format: the processor is notified whether it wants to be or not.
    #[must_use]
    pub const fn is_urgent(self) -> bool {
        self.0[0] & URG != 0
    }

    pub(crate) const fn has_posted_reserved(self) -> bool {
        self.0[0] & RESERVED_LOW != 0 || self.0[1] & RESERVED_HIGH != 0
    }
}

/// A descriptor as memory holds it (9.12).
struct Descriptor([u64; 8]);

impl Descriptor {
    fn read(mem: &PhysMem, gpa: Gpa) -> Option<Self> {
        let mut bytes = [0; DESCRIPTOR_LEN];
        mem.read(gpa, &mut bytes).ok()?;
        let mut qwords = [0; 8];
        for (qword, chunk) in qwords.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *qword = u64::from_le_bytes(*chunk);
        }
        Some(Self(qwords))
    }

    /// Writes it back, all at once: nobody sees half of an update.
    fn write(&self, mem: &mut PhysMem, gpa: Gpa) -> Option<()> {
        let mut bytes = [0; DESCRIPTOR_LEN];
        for (qword, chunk) in self.0.iter().zip(bytes.as_chunks_mut::<8>().0) {
            *chunk = qword.to_le_bytes();
        }
        mem.write(gpa, &bytes).ok()
    }

    const fn control(&self) -> u64 {
        self.0[PIR_QWORDS]
    }

    fn has_reserved(&self, eime: bool) -> bool {
        let reserved = CONTROL_RESERVED | if eime { 0 } else { NDST_RESERVED };
        self.control() & reserved != 0 || self.0[PIR_QWORDS + 1..] != [0; 3]
    }

    /// Sets the bit of `vector`; answers whether a notification is due, which is then outstanding (5.2.3).
    const fn post(&mut self, vector: u8, urgent: bool) -> bool {
        self.0[vector as usize / 64] |= 1 << (vector % 64);
        let due = self.control() & ON == 0 && (urgent || self.control() & SN == 0);
        if due {
            self.0[PIR_QWORDS] |= ON;
        }
        due
    }

    /// The notification event: an ordinary interrupt, to one processor.
    const fn notification(&self, eime: bool) -> Interrupt {
        let dest = (self.control() >> NDST_SHIFT) as u32;
        Interrupt {
            vector: (self.control() >> NV_SHIFT) as u8,
            mode: DeliveryMode::Fixed,
            trigger: TriggerMode::Edge,
            dest_mode: DestinationMode::Physical,
            dest: if eime { dest } else { dest >> 8 & 0xff },
        }
    }
}

impl Vtd {
    /// Posts a request by its entry, which is good. The notification, if one is due; after a fault nothing is changed.
    pub(crate) fn post(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        request: Request,
        irte: Irte,
        eime: bool,
    ) -> Option<Interrupt> {
        let (gpa, vector) = (irte.descriptor(), irte.posted_vector());
        let posted = Descriptor::read(mem, gpa).ok_or(fault::DESCRIPTOR_ACCESS).and_then(|mut descriptor| {
            if descriptor.has_reserved(eime) {
                return Err(fault::DESCRIPTOR_RESERVED);
            }
            let due = descriptor.post(vector, irte.is_urgent());
            descriptor.write(mem, gpa).ok_or(fault::DESCRIPTOR_ACCESS)?;
            Ok(due.then(|| descriptor.notification(eime)))
        });
        match posted {
            Ok(notification) => {
                count(&mut self.state.stats.posted);
                let notified = notification.is_some();
                env.trace(self.slot(), TraceEvent::InterruptPosted { gpa, vector, notified });
                notification
            }
            Err(reason) => {
                self.fault(env, request, reason, irte.0[0] & FPD != 0);
                None
            }
        }
    }
}
