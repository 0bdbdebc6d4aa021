//! How soon the answer of a model is needed, as the request that submits the work says: [`Urgency`].

use base::str_enum;

str_enum! {
    /// How soon the model's answer is needed. What can wait costs less where the provider has cheaper requests.
    #[derive(Default)]
    Urgency {
        /// As fast as the provider answers.
        #[default]
        Now = "now",
        /// Within minutes: the provider's cheaper and slower requests, or ordinary ones where it has none or no room for them.
        Soon = "soon",
        /// Within a day: in batches of the provider, where it has them. Otherwise as soon.
        Whenever = "whenever",
    }
}

impl Urgency {
    /// Whether it is the default, which arguments of jobs leave out.
    pub fn is_now(&self) -> bool {
        *self == Self::Now
    }
}
