/** This machine lacks what the live tests need; the message says what. Any other error is a defect. */
export class Unusable extends Error {
  override readonly name = "Unusable";
}
