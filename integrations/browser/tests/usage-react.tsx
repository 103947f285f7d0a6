// npm run types: what people write with React compiles, and what they must not write does not.
import { Feedback, Source, Turn, useRagwheel } from "../src/react.js";

function Buttons() {
  const { vote, retract, opened, closed, chunk } = useRagwheel();
  const up = (): boolean => vote("thumbs_up", { comment: "clear" }) && retract("thumbs_up");
  return <button onClick={() => (up() ? opened() : closed())}>{chunk}</button>;
}

export const page = (
  <Turn handle="u1.x.y" options={{ endpoint: "/v1/signals" }} className="answer">
    <Source chunk={7} as="a" href="/doc">
      <Buttons />
      <Feedback reasons="old:Outdated" />
    </Source>
  </Turn>
);

// @ts-expect-error A turn has a handle
export const broken = <Turn>text</Turn>;
