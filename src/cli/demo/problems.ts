/** Makes a new problem from each that was read: other numbers or, where there are none, a word to fill in. */

const QUESTION = /^\s*\d+\.\s+/;

/** One new problem for each numbered question of the text, without its number. */
export function makeProblems(text: string): string[] {
  return questionsOf(text).map((question) =>
    /\d/.test(question) ? doubleNumbers(question) : hideLongestWord(question),
  );
}

/** A question runs from its number to the next. */
function questionsOf(text: string): string[] {
  const questions: string[] = [];
  for (const line of text.split("\n")) {
    if (QUESTION.test(line)) questions.push(line.replace(QUESTION, "").trim());
    else if (questions.length > 0) questions.push(`${questions.pop()} ${line.trim()}`.trim());
  }
  return questions;
}

function doubleNumbers(question: string): string {
  return question.replace(/\d[\d,]*/g, (number) => {
    const doubled = 2 * Number(number.replaceAll(",", ""));
    return number.includes(",") ? doubled.toLocaleString("en-US") : String(doubled);
  });
}

function hideLongestWord(question: string): string {
  const words = question.match(/[\p{L}]+/gu) ?? [];
  const longest = words.reduce((best, word) => (word.length > best.length ? word : best), "");
  return longest === "" ? question : question.replace(longest, "_".repeat(longest.length));
}
