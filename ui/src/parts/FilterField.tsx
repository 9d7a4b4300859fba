/** The field for a filter, with completion: a combobox as ARIA describes it. */
import { useEffect, useId, useRef, useState } from "react";
import { choicesAt, complete, type Known } from "../lib/completion";

interface Props {
  value: string;
  onChange: (value: string) => void;
  known: Known;
  error: string | null;
  placeholder: string;
}

export function FilterField({ value, onChange, known, error, placeholder }: Props) {
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(value.length);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  useEffect(() => setText(value), [value]);
  const choices = open ? choicesAt(text, caret, known) : [];
  const shown = open && choices.length > 0;

  const place = () => setCaret(input.current?.selectionStart ?? text.length);
  const take = (choice: string) => {
    const [next, position] = complete(text, caret, choice);
    setText(next);
    setCaret(position);
    setAt(-1);
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(position, position);
    });
  };
  const apply = () => {
    setOpen(false);
    onChange(text.trim());
  };
  const onKey = (event: React.KeyboardEvent) => {
    if (event.key === "ArrowDown" && choices.length) {
      event.preventDefault();
      setOpen(true);
      setAt((at + 1) % choices.length);
    } else if (event.key === "ArrowUp" && choices.length) {
      event.preventDefault();
      setAt((at - 1 + choices.length) % choices.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && shown && at >= 0) {
      event.preventDefault();
      take(choices[at]?.text ?? "");
    } else if (event.key === "Enter") {
      apply();
    } else if (event.key === "Escape") {
      if (shown) setOpen(false);
      else {
        setText(value);
        input.current?.blur();
      }
    }
  };
  return (
    <div className="filter grow">
      <input
        ref={input}
        data-search
        className={error ? "field mono bad" : "field mono"}
        type="text"
        role="combobox"
        aria-label="Filter"
        aria-expanded={shown}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={shown && at >= 0 ? `${list}-${at}` : undefined}
        aria-invalid={error !== null}
        spellCheck={false}
        autoComplete="off"
        placeholder={placeholder}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setCaret(event.target.selectionStart ?? event.target.value.length);
          setOpen(true);
          setAt(-1);
        }}
        onKeyDown={onKey}
        onKeyUp={place}
        onClick={() => {
          place();
          setOpen(true);
        }}
        onFocus={() => setOpen(true)}
        onBlur={() => {
          setOpen(false);
          if (text.trim() !== value) onChange(text.trim());
        }}
      />
      <ul id={list} role="listbox" aria-label="Completions" className="options" hidden={!shown}>
        {choices.map((choice, index) => (
          <li
            key={choice.text}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            onMouseDown={(event) => {
              event.preventDefault();
              take(choice.text);
            }}
            onMouseEnter={() => setAt(index)}
          >
            <code>{choice.text}</code>
            <small>{choice.about}</small>
          </li>
        ))}
      </ul>
      {error && (
        <pre className="filter-error" role="alert">
          {error}
        </pre>
      )}
    </div>
  );
}
