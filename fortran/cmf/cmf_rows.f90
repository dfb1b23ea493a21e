!> Named values of any type, as the C functions take them.
module cmf_rows
  use, intrinsic :: iso_c_binding, only: c_char, c_double, c_int, c_int64_t, c_loc, c_null_char, c_null_ptr, c_ptr, &
    c_size_t
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
  implicit none
  private

  ! As enum cmf_kind in log_metric.h.
  integer(c_int), parameter :: of_integer = 0, of_real = 1, of_text = 2, of_integers = 3, of_reals = 4, of_texts = 5

  !> As struct cmf_value in log_metric.h.
  type, bind(c), public :: c_value
    type(c_ptr) :: key
    integer(c_int) :: kind
    integer(c_int64_t) :: integer
    real(c_double) :: real
    type(c_ptr) :: address
    integer(c_size_t) :: count
  end type c_value

  !> A value and its name. Texts end with a zero, as in C; several are one after the other, because gfortran 12
  !! does not copy arrays of texts as it should.
  type :: entry
    character(len=:, kind=c_char), allocatable :: key, text
    integer(c_int) :: kind
    integer(int64) :: integer
    real(real64) :: real
    integer, allocatable :: starts(:)  !! of each text in `text`
    integer(int64), allocatable :: integers(:)
    real(real64), allocatable :: reals(:)
  end type entry

  !> The values of a row for C, and the addresses of their texts; made by point_to.
  type, public :: c_row
    type(c_value), allocatable :: values(:)
    type(c_ptr), allocatable, private :: addresses(:)
  contains
    procedure :: point_to
  end type c_row

  !> A row of values: `call row%set('day', 3)`. It can be used again: `set` replaces the value of a key.
  !! Values are integers, reals and text, and arrays of them.
  type, public :: cmf_row
    private
    type(entry), allocatable :: entries(:)
    integer :: count = 0
  contains
    procedure, private :: set_int32, set_int64, set_real32, set_real64, set_text
    procedure, private :: set_int32s, set_int64s, set_real32s, set_real64s, set_texts
    generic :: set => set_int32, set_int64, set_real32, set_real64, set_text, set_int32s, set_int64s, set_real32s, &
      set_real64s, set_texts
    procedure :: clear
  end type cmf_row

contains

  !> Forget all values.
  subroutine clear(self)
    class(cmf_row), intent(inout) :: self

    self%count = 0
  end subroutine clear

  !> Point to the values of a row, which must stay as it is while C has them.
  subroutine point_to(self, row)
    class(c_row), intent(inout), target :: self
    type(cmf_row), intent(in), target :: row
    integer :: i, n, texts

    if (allocated(self%values)) deallocate (self%values)
    if (allocated(self%addresses)) deallocate (self%addresses)
    texts = 0
    do n = 1, row%count
      if (row%entries(n)%kind == of_texts) texts = texts + size(row%entries(n)%starts)
    end do
    allocate (self%values(row%count), self%addresses(texts + 1))
    texts = 0
    do n = 1, row%count
      associate (value => self%values(n))
        value%key = c_loc(row%entries(n)%key)
        value%kind = row%entries(n)%kind
        value%integer = row%entries(n)%integer
        value%real = row%entries(n)%real
        value%address = c_null_ptr
        value%count = 1
        select case (value%kind)
        case (of_text)
          value%address = c_loc(row%entries(n)%text)
        case (of_integers)
          value%address = c_loc(row%entries(n)%integers)
          value%count = size(row%entries(n)%integers, kind=c_size_t)
        case (of_reals)
          value%address = c_loc(row%entries(n)%reals)
          value%count = size(row%entries(n)%reals, kind=c_size_t)
        case (of_texts)
          value%address = c_loc(self%addresses(texts + 1))
          value%count = size(row%entries(n)%starts, kind=c_size_t)
          do i = 1, size(row%entries(n)%starts)
            texts = texts + 1
            self%addresses(texts) = c_loc(row%entries(n)%text(row%entries(n)%starts(i):))
          end do
        end select
      end associate
    end do
  end subroutine point_to

  !> The place of a key's value, a new one if it has none.
  integer function place(self, key, kind)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    integer(c_int), intent(in) :: kind
    type(entry), allocatable :: more(:)

    do place = 1, self%count
      if (self%entries(place)%key == trim(key)//c_null_char) exit
    end do
    if (.not. allocated(self%entries)) allocate (self%entries(8))
    if (place > size(self%entries)) then
      allocate (more(2 * size(self%entries)))
      more(:size(self%entries)) = self%entries
      call move_alloc(more, self%entries)
    end if
    if (place > self%count) self%entries(place)%key = trim(key)//c_null_char
    self%count = max(self%count, place)
    associate (found => self%entries(place))
      found%kind = kind
      found%integer = 0
      found%real = 0
    end associate
  end function place

  subroutine set_int32(self, key, value)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    integer(int32), intent(in) :: value

    call self%set(key, int(value, int64))
  end subroutine set_int32

  subroutine set_int64(self, key, value)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    integer(int64), intent(in) :: value
    integer :: n

    n = place(self, key, of_integer)
    self%entries(n)%integer = value
  end subroutine set_int64

  subroutine set_real32(self, key, value)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    real(real32), intent(in) :: value

    call self%set(key, real(value, real64))
  end subroutine set_real32

  subroutine set_real64(self, key, value)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    real(real64), intent(in) :: value
    integer :: n

    n = place(self, key, of_real)
    self%entries(n)%real = value
  end subroutine set_real64

  !> Without trailing blanks.
  subroutine set_text(self, key, value)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key, value
    integer :: n

    n = place(self, key, of_text)
    self%entries(n)%text = trim(value)//c_null_char
  end subroutine set_text

  subroutine set_int32s(self, key, values)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    integer(int32), intent(in) :: values(:)

    call self%set(key, int(values, int64))
  end subroutine set_int32s

  subroutine set_int64s(self, key, values)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    integer(int64), intent(in) :: values(:)
    integer :: n

    n = place(self, key, of_integers)
    self%entries(n)%integers = values
  end subroutine set_int64s

  subroutine set_real32s(self, key, values)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    real(real32), intent(in) :: values(:)

    call self%set(key, real(values, real64))
  end subroutine set_real32s

  subroutine set_real64s(self, key, values)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key
    real(real64), intent(in) :: values(:)
    integer :: n

    n = place(self, key, of_reals)
    self%entries(n)%reals = values
  end subroutine set_real64s

  !> Each without trailing blanks.
  subroutine set_texts(self, key, values)
    class(cmf_row), intent(inout) :: self
    character(len=*), intent(in) :: key, values(:)
    integer :: i, n

    n = place(self, key, of_texts)
    associate (found => self%entries(n))
      found%text = ''
      found%starts = [(0, i = 1, size(values))]
      do i = 1, size(values)
        found%starts(i) = len(found%text) + 1
        found%text = found%text//trim(values(i))//c_null_char
      end do
    end associate
  end subroutine set_texts

end module cmf_rows
