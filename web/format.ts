/** `14:03:07`, with the day when it is not today. */
export function clockTime(timestamp: string | number): string {
  const date = new Date(timestamp);
  const time = date.toLocaleTimeString('sv');
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString('sv')} ${time}`;
}
