package local

import "testing"

func TestQuote(t *testing.T) {
	got := Quote([]string{"/bin/gamut", "--dir", "it's here", "--cluster", "1=h:1,2=h:2", "", "a$b"})
	want := `/bin/gamut --dir 'it'\''s here' --cluster 1=h:1,2=h:2 '' 'a$b'`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
