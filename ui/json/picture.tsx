/** Pictures in JSON; each is drawn when somebody asks for it. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchPicture } from "../wire/pictures.ts";
import { bytes } from "../words/format.ts";
import { words } from "../words/language.ts";

/** One that stands in the JSON itself. */
export function HeldPicture({ address }: { address: string }) {
  const isShown = useSignal(false);
  const t = words.value.json;
  if (isShown.value) return <img class="json-picture" src={address} alt={t.picture} />;
  return (
    <button type="button" class="quiet small" onClick={() => (isShown.value = true)}>
      {t.showPicture(bytes(address.length))}
    </button>
  );
}

/** One that the JSON names. */
export function NamedPicture({ name }: { name: string }) {
  const address = useSignal<string | undefined>(undefined);
  const fault = useSignal<string | undefined>(undefined);
  const t = words.value.json;
  useEffect(
    () => () => {
      if (address.peek() !== undefined) URL.revokeObjectURL(address.peek() as string);
    },
    [],
  );
  const show = () =>
    fetchPicture(name).then(
      (picture) => {
        address.value = URL.createObjectURL(picture);
        fault.value = undefined;
      },
      (thrown: Error) => {
        fault.value = thrown.message;
      },
    );
  if (address.value !== undefined) return <img class="json-picture" src={address.value} alt={t.namedPicture(name)} />;
  return (
    <>
      {" "}
      <button type="button" class="quiet small" onClick={() => void show()}>
        {t.showNamedPicture}
      </button>
      {fault.value !== undefined && (
        <span class="warn-text" role="alert">
          {" "}
          {fault.value}
        </span>
      )}
    </>
  );
}
