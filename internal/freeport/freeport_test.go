package freeport

import "testing"

func TestBlocksDoNotMeet(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		base := Block(t, 3)
		for port := base; port < base+3*Width; port++ {
			if seen[port] {
				t.Fatalf("port %d was given twice", port)
			}
			seen[port] = true
		}
	}
}

// TestAServerThatIsThereIsLeftAlone: ports of a node are passed over when any of them is in use, not only the claim.
func TestAServerThatIsThereIsLeftAlone(t *testing.T) {
	base, release, err := Claim(2)
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen(base + Width + 3)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	release()
	if again := Block(t, 2); again == base {
		t.Errorf("block %d was given although port %d is in use", base, base+Width+3)
	}
}

func TestAnEndedTestGivesItsPortsBack(t *testing.T) {
	var base int
	t.Run("claims", func(t *testing.T) { base = Block(t, 1) })
	l, err := listen(base + Width - 1)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
