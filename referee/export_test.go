package referee

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExportEDN(t *testing.T) {
	h := parse(t, `
a 1-3 append l=<1>
b 2-4 txn get l=<1>; append l=<2>
c 5-6? append l=<3>
c 7-8! append l=<4>
a 7-9 get l=<1><2>
a 10-11 set x="1"
a 12-13 cas x="1">2
a 14-15 cas x=9>3 failed
a 16-17 delete x
a 18-19 get x=-
a 20-21 incr n+1=1`).History
	var b bytes.Buffer
	if err := h.ExportEDN(&b); err != nil {
		t.Fatal(err)
	}
	want := `
{:index 0, :time 1, :process 0, :type :invoke, :f :txn, :value [[:append "l" "<1>"]]}
{:index 1, :time 2, :process 1, :type :invoke, :f :txn, :value [[:r "l" nil] [:append "l" "<2>"]]}
{:index 2, :time 3, :process 0, :type :ok, :f :txn, :value [[:append "l" "<1>"]]}
{:index 3, :time 4, :process 1, :type :ok, :f :txn, :value [[:r "l" ["<1>"]] [:append "l" "<2>"]]}
{:index 4, :time 5, :process 1000002, :type :invoke, :f :txn, :value [[:append "l" "<3>"]]}
{:index 5, :time 6, :process 1000002, :type :info, :f :txn, :value [[:append "l" "<3>"]]}
{:index 6, :time 7, :process 0, :type :invoke, :f :txn, :value [[:r "l" nil]]}
{:index 7, :time 7, :process 2, :type :invoke, :f :txn, :value [[:append "l" "<4>"]]}
{:index 8, :time 8, :process 2, :type :fail, :f :txn, :value [[:append "l" "<4>"]]}
{:index 9, :time 9, :process 0, :type :ok, :f :txn, :value [[:r "l" ["<1>" "<2>"]]]}
{:index 10, :time 10, :process 0, :type :invoke, :f :txn, :value [[:w "x" "\"1\""]]}
{:index 11, :time 11, :process 0, :type :ok, :f :txn, :value [[:w "x" "\"1\""]]}
{:index 12, :time 12, :process 0, :type :invoke, :f :txn, :value [[:r "x" nil] [:w "x" "2"]]}
{:index 13, :time 13, :process 0, :type :ok, :f :txn, :value [[:r "x" "\"1\""] [:w "x" "2"]]}
{:index 14, :time 14, :process 0, :type :invoke, :f :txn, :value [[:r "x" nil] [:w "x" "3"]]}
{:index 15, :time 15, :process 0, :type :fail, :f :txn, :value [[:r "x" nil] [:w "x" "3"]]}
{:index 16, :time 16, :process 0, :type :invoke, :f :txn, :value [[:w "x" nil]]}
{:index 17, :time 17, :process 0, :type :ok, :f :txn, :value [[:w "x" nil]]}
{:index 18, :time 18, :process 0, :type :invoke, :f :txn, :value [[:r "x" nil]]}
{:index 19, :time 19, :process 0, :type :ok, :f :txn, :value [[:r "x" nil]]}
`
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(b.String())); diff != "" {
		t.Error(diff)
	}
}

// TestExportedLine holds the form of a history's line: files of others rely on it.
func TestExportedLine(t *testing.T) {
	o := parse(t, `a 1-2 set x=1 t4294967298@3 @2 l=quorum s=token`).History[0]
	o.ID = 7
	var b bytes.Buffer
	if err := (History{o}).Export(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"id":7,"client":0,"session":"token","node":2,"level":"quorum","key":"x","kind":"set","value":"1","call":1,"return":2,"outcome":"done","stamp":"65536.2@3","code":"ok"}` + "\n"
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
}

// TestImportRefuses what makes no sense, naming the line.
func TestImportRefuses(t *testing.T) {
	for _, bad := range []string{
		`{"kind":"get","outcome":"done","code":"fine"}`,
		`{"kind":"txn","outcome":"done"}`,
		`{"kind":"txn","outcome":"done","subs":[{"kind":"txn","key":"x"}]}`,
		`{"kind":"txn","outcome":"done","subs":[{"kind":"get","key":"x","what":1}]}`,
		`{"kind":"get","outcome":"done","subs":[{"kind":"get","key":"x"}]}`,
		`{"kind":"get","outcome":"done","stamp":"1"}`,
		`{"kind":"get","outcome":"done","stamp":"1.70000@1"}`,
		`{"event":"crash","att":1}`,
		`{"run":{"what":1}}`,
		`{"replica":{"node":-1}}`,
		`{"kind":"get","outcome":"done"} trailing`,
	} {
		_, err := Import(strings.NewReader("\n" + bad))
		if err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzImport(f *testing.F) {
	for _, s := range scripts {
		var b bytes.Buffer
		r := parse(&testing.T{}, s.text)
		if r.Export(&b) == nil {
			f.Add(b.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Import(bytes.NewReader(b))
		if err != nil {
			return
		}
		// Whatever a file holds, judging it ends, and what is written again is read again.
		r.Search = 1
		for _, c := range Checkers {
			_ = c.Check(r).String()
		}
		var once, again bytes.Buffer
		if err := r.Export(&once); err != nil {
			t.Fatal(err)
		}
		back, err := Import(bytes.NewReader(once.Bytes()))
		if err != nil || back.Export(&again) != nil || !bytes.Equal(once.Bytes(), again.Bytes()) {
			t.Fatalf("%v: %s becomes %s", err, once.Bytes(), again.Bytes())
		}
	})
}
