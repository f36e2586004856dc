// A line in a table cell. Gaps are gaps: what is not known is not drawn.
export function Spark({ values, top, label }: { values: (number | null)[]; top: number; label: string }) {
  const width = 90;
  const height = 20;
  if (values.length < 2) return <span class="quiet">–</span>;
  const highest = Math.max(top, ...values.map((value) => value ?? 0), 1e-9);
  let pen = "M";
  const path = values.map((value, i) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const point = `${pen}${((i / (values.length - 1)) * width).toFixed(1)} ${(height - 1 - (value / highest) * (height - 2)).toFixed(1)}`;
    pen = "L";
    return point;
  });
  return (
    <svg
      class="spark"
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      role="img"
      aria-label={label}
    >
      <title>{label}</title>
      <path d={path.join("")} />
    </svg>
  );
}
