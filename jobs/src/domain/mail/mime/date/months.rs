//! The names of months in the languages that programs write dates in: [`month`].

/// How the months begin, by their number: in Latin, Cyrillic, Greek, Hebrew, Arabic and Thai letters.
const MONTHS: [&str; 12] = [
    "jan ene gen sty ian oca led tammi янв яну січ ιαν ינו يناير ม.ค",
    "feb fév fev lut şub úno helmi фев лют φεβ פבר فبراير ก.พ",
    "mar mär mrt maa már bře мар бер μάρ μαρ מרץ مارس มี.ค",
    "apr avr abr kwi ápr nis dub huhti апр кві απρ אפר أبريل เม.ย",
    "may mai maj mag mei máj kvě touko май мая трав μάι μαΐ μαι מאי مايو พ.ค",
    "jun juin giu cze jún haz čvn červ kesä iun июн чер юни ιουν ιούν יונ يونيو มิ.ย",
    "jul juil lug lip júl tem čvc červenec července heinä iul июл юли лип ιουλ ιούλ יול يوليو ก.ค",
    "aug aoû aou ago sie agu ağu srp elo авг сер αύγ αυγ אוג أغسطس ส.ค",
    "sep set wrz eyl zář syys сен вер σεπ ספט سبتمبر ก.ย",
    "oct okt ott out paź eki říj loka окт жов οκτ אוק أكتوبر ต.ค",
    "nov lis noi kas marras ноя ное лис νοέ νοε נוב نوفمبر พ.ย",
    "dec déc dez dic gru des ara pro joulu дек гру δεκ דצמ ديسمبر ธ.ค",
];

/// The number of the month with this name, `11月` and `11월` included.
pub(super) fn month(name: &str) -> Option<u32> {
    let name = name.to_lowercase();
    if let Some(number) = name.strip_suffix(['月', '월']) {
        return number.parse().ok();
    }
    // Some names begin like another's: `marraskuuta` (November) and `marzo`.
    let length = |starts: &str| {
        let starts = starts.split(' ').filter(|start| name.starts_with(start));
        starts.map(str::len).max()
    };
    let lengths = MONTHS.iter().map(|starts| length(starts)).zip(1..);
    let (_, number) = lengths
        .filter(|(length, _)| length.is_some())
        .max_by_key(|(length, _)| *length)?;
    Some(number)
}
