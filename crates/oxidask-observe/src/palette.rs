//! Colours of drawings, chosen for eyes of every kind.
//!
//! The twelve keep a distance of each other in normal vision and in the three kinds of colour
//! blindness (a test computes it), and each has black or white text on it in good contrast.

/// Fills of groups, in order of first appearance.
pub const GROUP_FILLS: [&str; 12] = [
    "#7290FA", "#E6B816", "#99F8F7", "#D2833B", "#B0C5A5", "#7B1F45", "#49CFFC", "#D9F28C",
    "#AB8EA7", "#293A9C", "#A44C1D", "#55669D",
];

/// From first to last: dark violet over green to yellow, in even steps of lightness.
const ORDER_FILLS: [[u8; 3]; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3E, 0x4A, 0x89],
    [0x31, 0x68, 0x8E],
    [0x26, 0x82, 0x8E],
    [0x1F, 0x9E, 0x89],
    [0x35, 0xB7, 0x79],
    [0x6D, 0xCD, 0x59],
    [0xB4, 0xDE, 0x2C],
    [0xFD, 0xE7, 0x25],
];

/// The fill of a group; from the thirteenth on, fills return.
pub fn group_fill(group: usize) -> &'static str {
    GROUP_FILLS[group % GROUP_FILLS.len()]
}

/// The fill of a place between first (0) and last (1).
pub fn order_fill(place: f64) -> String {
    mixed(&ORDER_FILLS, place)
}

/// The colour of a place between the first (0) and the last (1) of some, given as `#RRGGBB`.
pub fn blend(fills: &[String], place: f64) -> String {
    let fills: Vec<[u8; 3]> = fills.iter().map(|fill| rgb(fill)).collect();
    mixed(&fills, place)
}

fn mixed(fills: &[[u8; 3]], place: f64) -> String {
    let last = fills.len().saturating_sub(1);
    let exact = place.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (exact.floor() as usize, exact.ceil() as usize);
    let share = exact - low as f64;
    let mixed = [0, 1, 2].map(|channel| {
        let (from, to) = (f64::from(fills[low][channel]), f64::from(fills[high][channel]));
        (from + (to - from) * share).round() as u8
    });
    format!("#{:02X}{:02X}{:02X}", mixed[0], mixed[1], mixed[2])
}

/// Black or white, whichever reads better on a fill given as `#RRGGBB`.
pub fn text_on(fill: &str) -> &'static str {
    let luminance = luminance(linear_rgb(fill));
    if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) { "#000000" } else { "#FFFFFF" }
}

/// The three channels; black if the text is not `#RRGGBB`.
pub fn rgb(fill: &str) -> [u8; 3] {
    let code = u32::from_str_radix(fill.trim_start_matches('#'), 16).unwrap_or(0);
    [16, 8, 0].map(|shift| (code >> shift) as u8)
}

/// Light of the three channels, 0 to 1.
fn linear_rgb(fill: &str) -> [f64; 3] {
    rgb(fill).map(|channel| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

fn luminance([red, green, blue]: [f64; 3]) -> f64 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [[f64; 3]; 3];

    /// Normal vision, then red, green and blue blindness, after Machado, Oliveira and Fernandes.
    const VISIONS: [Matrix; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];
    const RGB_TO_CONES: Matrix = [
        [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
        [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
        [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
    ];
    const CONES_TO_OKLAB: Matrix = [
        [0.210_454_255_3, 0.793_617_785, -0.004_072_046_8],
        [1.977_998_495_1, -2.428_592_205, 0.450_593_709_9],
        [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766],
    ];

    fn times(matrix: &Matrix, vector: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
    }

    fn seen_as(fill: &str, vision: &Matrix) -> [f64; 3] {
        let light = times(vision, linear_rgb(fill)).map(|value| value.clamp(0.0, 1.0));
        times(&CONES_TO_OKLAB, times(&RGB_TO_CONES, light).map(f64::cbrt))
    }

    #[test]
    fn fills_of_groups_differ_for_all_eyes() {
        for vision in &VISIONS {
            for (index, one) in GROUP_FILLS.iter().enumerate() {
                for other in &GROUP_FILLS[..index] {
                    let (a, b) = (seen_as(one, vision), seen_as(other, vision));
                    let distance =
                        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(distance > 0.1, "{one} and {other} are {distance:.3} apart");
                }
            }
        }
    }

    #[test]
    fn text_reads_on_every_fill() {
        let orders = (0..=100).map(|step| order_fill(f64::from(step) / 100.0));
        for fill in orders.chain(GROUP_FILLS.iter().map(ToString::to_string)) {
            let (a, b) = (luminance(linear_rgb(&fill)), luminance(linear_rgb(text_on(&fill))));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{} on {fill} has contrast {contrast:.1}", text_on(&fill));
        }
    }

    #[test]
    fn order_runs_from_dark_to_light() {
        let lights: Vec<f64> = (0..=50)
            .map(|step| luminance(linear_rgb(&order_fill(f64::from(step) / 50.0))))
            .collect();
        assert!(lights.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(order_fill(7.0), order_fill(1.0));
    }
}
