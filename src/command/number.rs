//! The number of instances that a command line asks for, as such or compared with the number that there is.

use std::str::FromStr;

use crate::contract::Instances;
use crate::output::{Exit, Failure, counted};
use crate::unit::Fault;

/// The number of instances on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// So many, or one for each CPU.
    These(Instances),
    /// So many more than there are.
    More(u32),
    /// So many fewer than there are.
    Fewer(u32),
}

impl FromStr for Number {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = |what: &str| {
            Fault::new(
                what,
                "write a number, `max`, +2 for two more, or -1 for one fewer",
            )
        };
        let number = |digits: &str| match digits.parse::<u32>() {
            // `parse` would accept a second sign.
            Ok(number) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
            _ => Err(fault(&format!("`{text}` is not a number of instances"))),
        };
        Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(more), _) => Self::More(number(more)?),
            (_, Some(fewer)) => Self::Fewer(number(fewer)?),
            _ if text == "max" => Self::These(Instances::Max),
            _ => Self::These(Instances::Exactly(number(text)?)),
        })
    }
}

impl Number {
    /// Returns the number that an app with `present` instances is going to have.
    pub(super) fn of(self, app: &str, present: u32) -> Result<Instances, Failure> {
        let number = match self {
            Self::These(Instances::Exactly(number)) => i64::from(number),
            Self::These(instances) => return Ok(instances),
            Self::More(more) => i64::from(present) + i64::from(more),
            Self::Fewer(fewer) => i64::from(present) - i64::from(fewer),
        };
        if number < 1 {
            let message = match self {
                Self::Fewer(fewer) => {
                    format!("`{app}` has {}, and -{fewer} leaves none", counted(present))
                }
                _ => format!("`{app}` cannot have 0 instances"),
            };
            return Err(Failure::new(Exit::Usage, message)
                .help(format!("run `rsgen stop {app}` to stop all of them")));
        }
        Instances::from_number(number)
            .map_err(|fault| Failure::new(Exit::Usage, fault.message).help(fault.help))
    }
}
